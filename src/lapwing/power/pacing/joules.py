"""Joules while there is work, without a thread of its own: the watcher reads once a second.

What an idle machine takes is known from the time in which the watcher slept: the counter goes on.
"""

from __future__ import annotations

import threading
import time

from lapwing.power.pacing.request import Mark, Used
from lapwing.power.sensors.energy import EnergySource, Total
from lapwing.power.sensors.sensor import Clock, why

MIN_IDLE_S = 10.0  # of sleep that tells what an idle machine takes
MAX_IDLE_S = 600.0  # of longer ones a counter may have wrapped more than once
MAX_UNSEEN = 0.1  # share of a request before the first reading


class Joules:
    """Of one source, or of none. From any thread."""

    def __init__(
        self, source: EnergySource | None, why_not: str, clock: Clock = time.monotonic
    ) -> None:
        self.source, self._why_not, self._clock = source, why_not, clock
        self._lock = threading.Lock()
        self._total: Total | None = None  # of this time awake
        self._before_j = 0.0  # of those before it
        self._parked: tuple[float, tuple[float, ...]] | None = None
        self._idle_w: float | None = None

    @property
    def idle_w(self) -> float | None:
        """What the machine took when it last slept."""
        return self._idle_w

    @property
    def so_far(self) -> float | None:
        """As last read; None: nobody reads."""
        total = self._total
        return None if total is None else self._before_j + total.joules

    def tick(self) -> None:
        """Reads; the first time after `park` begins anew."""
        with self._lock:
            self._read()

    def park(self) -> None:
        """Nobody will read for a while."""
        with self._lock:
            values = self._read()
            if self._total is not None:
                self._before_j += self._total.joules
            self._total = None
            self._parked = None if values is None else (self._clock(), values)

    def mark(self) -> Mark:
        """Now; where somebody reads, with a reading."""
        with self._lock:
            if self._total is None:
                return Mark(self._clock(), None)
            self._read()
            return Mark(self._clock(), self._before_j + self._total.joules)

    def since(self, mark: Mark) -> Used:
        """From a mark to now. A short time before the first reading counts as those after it."""
        with self._lock:
            total, source = self._total, self.source
            if source is None:
                return Used(None, None, self._clock() - mark.time_s, None, self._why_not)
            if total is None:
                return self._missing(mark, "it was over before the first reading")
            self._read()
            seconds = self._clock() - mark.time_s
            if total.problem is not None:
                return self._missing(mark, total.problem)
            unseen_s = 0.0 if mark.joules is not None else seconds - total.seconds
            if unseen_s > MAX_UNSEEN * seconds:
                return self._missing(mark, f"nothing was read for {unseen_s:.1f} s of it")
            if seconds < source.min_s:
                return self._missing(
                    mark, f"{seconds:.1f} s; {source.name} needs {source.min_s:g} s"
                )
            joules = self._before_j + total.joules - (mark.joules or 0.0)
            if mark.joules is None:
                joules = (joules - self._before_j) * seconds / total.seconds
            idle_j = None if self._idle_w is None else self._idle_w * seconds
            return Used(joules, idle_j, seconds, source.scope)

    def _missing(self, mark: Mark, reason: str) -> Used:
        scope = None if self.source is None else self.source.scope
        return Used(None, None, self._clock() - mark.time_s, scope, reason)

    def _read(self) -> tuple[float, ...] | None:
        if self.source is None:
            return None
        first = self._total is None
        if self._total is None:
            self._total = Total(self.source)
        try:
            values, now_s = self.source.read(), self._clock()
        except (OSError, ValueError) as error:
            self._total.fail(why(error))
            return None
        if first:
            self._learn_idle(now_s, values)
        self._total.add(now_s, values)
        return values

    def _learn_idle(self, now_s: float, values: tuple[float, ...]) -> None:
        """From the reading before the sleep and the one behind it."""
        assert self.source is not None
        if self._parked is None or self.source.kind != "counter":
            return
        slept_s = now_s - self._parked[0]
        if not MIN_IDLE_S <= slept_s <= MAX_IDLE_S:
            return
        joules = 0.0
        for last, now, range_j in zip(self._parked[1], values, self.source.range_j, strict=True):
            if now < last and range_j is None:
                return
            joules += now - last if now >= last else (now - last) % (range_j or 1.0)
        self._idle_w = joules / slept_s
