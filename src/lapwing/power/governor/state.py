"""What the governor knows when it decides: what was seen, what it remembers, what is wanted."""

from __future__ import annotations

from dataclasses import dataclass, field

from lapwing.power.governor.memory import Memory
from lapwing.power.governor.observation import Observation
from lapwing.power.governor.settings import Settings


@dataclass(frozen=True)
class State:
    """Everything `step` looks at. knee_threads: beyond so many, decode gains little."""

    seen: Observation
    memory: Memory | None = None  # None: nothing has been seen yet
    settings: Settings = field(default_factory=Settings)
    knee_threads: int | None = None
