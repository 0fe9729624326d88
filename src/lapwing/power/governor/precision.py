"""int8 or int4, by the charge of the battery: with hysteresis, dwell and a limit per hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["int8", "int4"]

DOWN_AT, UP_AT = 0.40, 0.50  # of the charge, while discharging
STABLE_AC_S = 60.0
DWELL_S = 300.0
PER_HOUR = 4


@dataclass(frozen=True)
class Switching:
    """Between steps. switched_s: times of the last switches, by the sum of steps."""

    precision: Precision = "int8"
    ac_s: float = 0.0  # for how long it has been plugged in
    switched_s: tuple[float, ...] = ()


def control(
    switching: Switching, on_battery: bool | None, charge: float | None, time_s: float, dt: float
) -> tuple[Precision, Switching]:
    """The precision to be used. Where the power source is not known, nothing changes."""
    ac_s = switching.ac_s + dt if on_battery is False else 0.0
    now, times_s = switching.precision, switching.switched_s
    wanted: Precision = now
    if ac_s >= STABLE_AC_S:
        wanted = "int8"
    elif on_battery and charge is not None:
        wanted = "int4" if charge <= DOWN_AT else "int8" if charge >= UP_AT else now
    recent = tuple(s for s in times_s if time_s - s < 3600.0)
    free = not recent or (time_s - recent[-1] >= DWELL_S and len(recent) < PER_HOUR)
    if wanted != now and free:
        now, recent = wanted, (*recent, time_s)
    return now, Switching(now, ac_s, recent)
