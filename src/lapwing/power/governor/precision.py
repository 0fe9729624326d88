"""int8 or int4, by the charge of the battery and by heat: with hysteresis, dwell, a limit per hour.

Where heat has taken much of the duty, half the bytes a token give more tokens than pauses at int8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["int8", "int4"]
Warmth = Literal["cool", "warm", "hot"]  # heat takes nothing, something, much of the duty

DOWN_AT, UP_AT = 0.40, 0.50  # of the charge, while discharging
STABLE_AC_S = 60.0
HOT_DUTY = 0.7
DWELL_S = 300.0
PER_HOUR = 4


@dataclass(frozen=True)
class Switching:
    """Between steps. switched_s: times of the last switches, by the sum of steps."""

    precision: Precision = "int8"
    ac_s: float = 0.0  # for how long it has been plugged in
    switched_s: tuple[float, ...] = ()


def warmth(duty: float) -> Warmth:
    """From the duty that heat alone would leave."""
    return "hot" if duty <= HOT_DUTY else "warm" if duty < 1.0 else "cool"


def control(
    switching: Switching,
    on_battery: bool | None,
    charge: float | None,
    time_s: float,
    dt: float,
    heat: Warmth = "cool",
    *,
    low: bool = False,
) -> tuple[Precision, Switching]:
    """The precision to be used. on_battery: None where it is not known, or shall not matter.

    low: the charge is below what the user wants to be left.
    """
    ac_s = switching.ac_s + dt if on_battery is False else 0.0
    now, times_s = switching.precision, switching.switched_s
    wanted: Precision = now
    if ac_s >= STABLE_AC_S:
        wanted = "int8"
    elif on_battery and charge is not None:
        wanted = "int4" if charge <= DOWN_AT else "int8" if charge >= UP_AT else now
    elif on_battery is None:
        wanted = "int8"
    if low or heat == "hot" or (heat == "warm" and now == "int4"):
        wanted = "int4"
    recent = tuple(s for s in times_s if time_s - s < 3600.0)
    free = not recent or (time_s - recent[-1] >= DWELL_S and len(recent) < PER_HOUR)
    if wanted != now and free:
        now, recent = wanted, (*recent, time_s)
    return now, Switching(now, ac_s, recent)
