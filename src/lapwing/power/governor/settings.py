"""What a user wants of the governor. Nothing else decides anything for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["observe", "performance", "balanced", "quiet", "battery", "background"]
SwitchAt = Literal["request", "token", "never"]  # where the precision may change by itself


@dataclass(frozen=True)
class Settings:
    """Limits, all optional. None: no such limit.

    mode: `observe` measures, reports and detects, and acts only on limits that are given here or
    where the firmware collapses. power: the share of time that may be worked, 0.01 to 1. follow:
    the mode follows the power source (`--profile auto`). battery_floor: a share of the charge.
    """

    mode: Mode = "observe"
    follow: bool = False
    max_temp_c: float | None = None
    max_watts: float | None = None
    power: float = 1.0
    energy_budget_j: float | None = None
    battery_floor: float = 0.15
    switch_at: SwitchAt = "request"
