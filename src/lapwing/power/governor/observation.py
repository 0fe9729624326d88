"""What was seen in one second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PressureLevel = Literal["nominal", "moderate", "heavy", "trapping"]


@dataclass(frozen=True)
class Observation:
    """Of one second. None: not measured here, or not now (older than 5 s)."""

    temperature_c: float | None = None
    critical_c: float | None = None  # what the hardware calls critical
    thermal_pressure: PressureLevel | None = None
    watts: float | None = None  # of the package, or of the machine on battery
    fan_rpm: float | None = None
    on_battery: bool | None = None  # an undersized charger counts as battery
    charge: float | None = None  # 0 to 1
    saver: bool | None = None  # the system's own low-power mode
    load: float | None = None  # of the other processes: share of this machine's CPUs, 0 to 1
    memory_pressure: float | None = None  # PSI: share of the last 10 s in which something stalled
    slowdown: float | None = None  # token time over what it was when cool, less 1; from the pacer
    tokens: int = 0  # since the last step
    joules: float | None = None  # of the running request so far, less the idle baseline
    interactive_s: float | None = None  # since a waiting user's request began; None: none waits
