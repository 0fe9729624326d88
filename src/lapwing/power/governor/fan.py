"""The slow outer loop of `quiet`: the set-point of temperature at which the fan stays low."""

from __future__ import annotations

from dataclasses import dataclass

EVERY_S = 30.0
CALM_S = 180.0
DOWN_C, UP_C = 1.0, 0.25
LOWEST_C, HIGHEST_C = 60.0, 85.0
START_C = 70.0  # also where no fan tells its speed
QUIET_RPM = 2500.0


@dataclass(frozen=True)
class Fan:
    """Between steps."""

    set_c: float = START_C
    since_s: float = 0.0  # the last move
    calm_s: float = 0.0  # for how long the fan has been below the target


def control(fan: Fan, rpm: float | None, dt: float) -> tuple[float, Fan]:
    """The set-point in °C: lower while the fan is loud, slowly higher while it is not."""
    if rpm is None:
        return fan.set_c, fan
    since_s = fan.since_s + dt
    calm_s = fan.calm_s + dt if rpm <= QUIET_RPM else 0.0
    set_c = fan.set_c
    if since_s >= EVERY_S and (rpm > QUIET_RPM or calm_s >= CALM_S):
        set_c += -DOWN_C if rpm > QUIET_RPM else UP_C
        set_c, since_s = min(max(set_c, LOWEST_C), HIGHEST_C), 0.0
    return set_c, Fan(set_c, since_s, calm_s)
