"""A machine that says what a test tells it to, for pacers."""

from __future__ import annotations

import time
from typing import Any

from lapwing.power.governor.observation import Observation
from lapwing.power.pacing.joules import Mark, Used


class FakeSenses:
    """Stands in for Senses. watts: of a machine whose joules are read without delay."""

    def __init__(self, seen: Observation | None = None, watts: float | None = None) -> None:
        self.seen = Observation() if seen is None else seen
        self.watts = watts
        self.looks = self.parks = 0
        self.told: list[Any] = []

    def look(self) -> Observation:
        self.looks += 1
        return self.seen

    def park(self) -> None:
        self.parks += 1

    def tell(self, status: Any) -> None:
        self.told.append(status)

    def power_source(self) -> tuple[str | None, str]:
        on_battery = self.seen.on_battery
        return (None, "no gauge") if on_battery is None else (("mains", "battery")[on_battery], "")

    @property
    def joules(self) -> FakeSenses:
        return self

    @property
    def so_far(self) -> float | None:
        return self.mark().joules

    def mark(self) -> Mark:
        now_s = time.monotonic()
        return Mark(now_s, None if self.watts is None else self.watts * now_s)

    def since(self, mark: Mark) -> Used:
        seconds = time.monotonic() - mark.time_s
        if self.watts is None:
            return Used(None, None, seconds, None, "no counter")
        return Used(self.watts * seconds, 0.0, seconds, "package")
