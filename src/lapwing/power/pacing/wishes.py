"""What a caller asks of the governor, checked."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import get_args

from lapwing.errors import RequestError
from lapwing.power.governor.settings import Mode, Settings, SwitchAt

PROFILE = "LAPWING_PROFILE"
MODES: tuple[Mode, ...] = get_args(Mode)
PROFILES = ("auto", *MODES)


def settings_of(
    profile: str | None = None,
    *,
    power: float = 100,
    max_temp: float | None = None,
    max_watts: float | None = None,
    energy_budget: float | None = None,
    battery_floor: float | None = None,
    switch_precision: str = "request",
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings of the governor. Raises RequestError.

    profile: a mode, or auto: `battery` while on battery, else `observe`; None: LAPWING_PROFILE, or
    observe. power: percent of the time, 1 to 100. max_temp: °C; max_watts: W; energy_budget: J of
    one request; battery_floor: percent of the charge. switch_precision: request, token or
    never.
    """
    environ = os.environ if environ is None else environ
    where = "profile" if profile is not None else PROFILE
    wanted = profile if profile is not None else environ.get(PROFILE) or "observe"
    if wanted not in PROFILES:
        raise RequestError(f"{where}: expected one of {', '.join(PROFILES)}; got {wanted!r}")
    if switch_precision not in get_args(SwitchAt):
        raise RequestError(
            f"switch_precision: expected one of {', '.join(get_args(SwitchAt))}; "
            f"got {switch_precision!r}"
        )
    given = Settings()
    floor = 100 * given.battery_floor if battery_floor is None else battery_floor
    return Settings(
        mode="observe" if wanted == "auto" else wanted,  # type: ignore[arg-type]
        follow=wanted == "auto",
        max_temp_c=_within("max_temp", max_temp, 30, 110, "°C"),
        max_watts=_within("max_watts", max_watts, 0.5, 1000, "W"),
        power=_number("power", power, 1, 100, "percent") / 100,
        energy_budget_j=_within("energy_budget", energy_budget, 0.001, 1e9, "J"),
        battery_floor=_number("battery_floor", floor, 0, 100, "percent") / 100,
        switch_at=switch_precision,  # type: ignore[arg-type]
    )


def _within(name: str, value: float | None, low: float, high: float, unit: str) -> float | None:
    return None if value is None else _number(name, value, low, high, unit)


def _number(name: str, value: float, low: float, high: float, unit: str) -> float:
    wrong = isinstance(value, bool) or not isinstance(value, (int, float))
    if wrong or not math.isfinite(value) or not low <= value <= high:
        raise RequestError(f"{name}: expected {low:g} to {high:g} {unit}, got {value!r}")
    return float(value)
