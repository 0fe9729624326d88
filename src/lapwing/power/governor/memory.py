"""What the governor's controllers remember from one step to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from lapwing.power.governor.admission import Waiting
from lapwing.power.governor.fan import Fan
from lapwing.power.governor.precision import Switching
from lapwing.power.governor.pressure import Pressed
from lapwing.power.governor.temperature import Heat
from lapwing.power.governor.watts import Draw


@dataclass(frozen=True)
class Memory:
    """Fresh: nothing has been seen yet. time_s: sum of the steps; duty: of the last command."""

    time_s: float = 0.0
    duty: float = 1.0
    heat: Heat = field(default_factory=Heat)
    pressed: Pressed = field(default_factory=Pressed)
    collapsed: Pressed = field(default_factory=Pressed)  # by token times
    draw: Draw = field(default_factory=Draw)
    fan: Fan = field(default_factory=Fan)
    switching: Switching = field(default_factory=Switching)
    waiting: Waiting = field(default_factory=Waiting)
    low: bool = False  # below the battery's floor
    slow_s: float = 0.0  # for how long tokens have been slow
