"""May background work run now?"""

from __future__ import annotations

from dataclasses import dataclass

from lapwing.power.governor.observation import Observation

STABLE_AC_S = 60.0
COOL_C = 65.0
FREE_LOAD = 0.30


@dataclass(frozen=True)
class Waiting:
    """Between steps. admitted: heat and load of its own work do not stop what was let in."""

    ac_s: float = 0.0
    admitted: bool = False


def control(waiting: Waiting, seen: Observation, dt: float) -> tuple[str | None, Waiting]:
    """Why not, or None: it may. What runs is stopped by the power source alone."""
    plugged = seen.on_battery is not True  # a machine without a battery says nothing of it
    ac_s = waiting.ac_s + dt if plugged else 0.0
    why = _why_not(seen, ac_s, begins=not waiting.admitted)
    return why, Waiting(ac_s, why is None)


def _why_not(seen: Observation, ac_s: float, *, begins: bool) -> str | None:
    if seen.on_battery:
        return "on battery"
    if seen.saver:
        return "the system saves power"
    if not begins:
        return None
    if seen.on_battery is False and ac_s < STABLE_AC_S:
        return f"plugged in for {ac_s:.0f} of {STABLE_AC_S:.0f} s"
    if seen.temperature_c is not None and seen.temperature_c >= COOL_C:
        return f"{seen.temperature_c:.0f} °C"
    if seen.load is not None and seen.load >= FREE_LOAD:
        return f"load {100 * seen.load:.0f} %"
    return None
