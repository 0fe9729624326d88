"""What the governor decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lapwing.power.governor.memory import Memory

Qos = Literal["normal", "efficient", "background"]
Stop = Literal["battery", "energy_budget"]


@dataclass(frozen=True)
class Command:
    """What the engine does until the next one.

    duty: share of time that is worked, 0.1 to 1 (0: paused, at most 30 s). threads: None for as
    many as are best here; else at most so many. precision: None for what the request wants. device:
    None where there is no choice. admit: whether background work may begin or go on. shed: caches
    are to shrink. stop: why running requests end. reasons: one short text for each thing that
    acted, e.g. "71 °C". exempt: heat is so far away that a first token need not pause. memory: for
    the next step's state; None: nothing has been seen yet.
    """

    duty: float
    threads: int | None
    qos: Qos
    precision: Literal["int8", "int4"] | None
    device: str | None
    admit: bool
    memory: Memory | None = None
    shed: bool = False
    stop: Stop | None = None
    mode: str = "observe"
    reasons: tuple[str, ...] = ()
    exempt: bool = True

    @property
    def acts(self) -> bool:
        """Whether anything is other than without a governor."""
        return (
            self.duty < 1.0
            or self.qos != "normal"
            or self.stop is not None
            or (self.threads, self.precision) != (None, None)
        )

    def __str__(self) -> str:
        """`quiet: 71 °C, duty 0.80, int4`."""
        parts = [each for each in self.reasons if each != self.mode]
        if self.duty < 1.0:
            parts.append(f"duty {self.duty:.2f}")
        if self.precision is not None and not any(self.precision in each for each in parts):
            parts.append(self.precision)
        if self.threads is not None:
            parts.append(f"at most {self.threads} thread" + "s" * (self.threads != 1))
        if self.stop is not None:
            parts.append(f"ended: {self.stop}")
        return f"{self.mode}: {', '.join(parts) or 'nothing asks for less'}"
