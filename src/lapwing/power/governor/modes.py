"""What each mode means in limits."""

from __future__ import annotations

from lapwing.power.governor.observation import Observation
from lapwing.power.governor.settings import Mode, Settings

BELOW_CRITICAL_C = 12.0
BALANCED_C = 88.0
UNKNOWN_CRITICAL_C = 85.0  # the set-point where the critical temperature is not told


def in_force(settings: Settings, seen: Observation) -> Mode:
    """The mode: what was asked for, or with `follow` what the power source says."""
    if not settings.follow or seen.on_battery is None:
        return settings.mode
    return "battery" if seen.on_battery else settings.mode


def set_point_c(mode: Mode, settings: Settings, seen: Observation, quiet_c: float) -> float | None:
    """The temperature that is to be held; None: none."""
    wanted: float | None = None
    if mode == "quiet":
        wanted = quiet_c
    elif mode in ("balanced", "battery", "background"):
        known = seen.critical_c
        wanted = UNKNOWN_CRITICAL_C if known is None else min(known - BELOW_CRITICAL_C, BALANCED_C)
    if settings.max_temp_c is not None:
        wanted = settings.max_temp_c if wanted is None else min(wanted, settings.max_temp_c)
    return wanted
