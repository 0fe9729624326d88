"""Energy between two moments: counters that wrap, gauges that are integrated, windows too short.

with Meter(source) as meter:
    work()
meter.energy.joules
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal

from lapwing.power.sensors.deadline import DEADLINE_S, ExpendableThread
from lapwing.power.sensors.reading import Quality, Scope
from lapwing.power.sensors.sensor import Clock, why

MIN_WINDOW_S = 10.0
MIN_TICKS = 100  # a tick more or less at either end is then below 2 %
MAX_POWER_W = 1000.0  # of a laptop; a counter that rises faster was reset, or it is none
MAX_STILL_S = 5.0  # counters tick in ms; one that stands so long has stopped, and joules are lost
MAX_GAP_S = 60.0  # without a poll: AMD's counters wrap after 65 kJ, a minute of that power

Kind = Literal[
    "counter",  # joules since some moment
    "gauge",  # watts now, integrated by trapezoids
]


@dataclass(frozen=True, eq=False)
class EnergySource:
    """Where joules come from.

    read: joules of counters or watts of gauges that are summed (one for each package, say), now;
    raises OSError or ValueError. range_j: where these counters start again from 0; None: never.
    min_s: the shortest window that means anything.
    """

    name: str
    source: str
    scope: Scope
    read: Callable[[], tuple[float, ...]]
    kind: Kind = "counter"
    range_j: tuple[float | None, ...] = (None,)
    min_s: float = MIN_WINDOW_S
    min_ticks: int = MIN_TICKS
    poll_s: float = 0.08  # 125 in the shortest window
    deadline_s: float = DEADLINE_S
    quality: Quality = "measured"


@dataclass(frozen=True)
class Energy:
    """Of one window. joules and mean_w are None together, and `reason` says why.

    seconds: between the first and the last reading. ticks: how often the value was seen to change;
    a counter ticks at least so often.
    """

    joules: float | None
    mean_w: float | None
    seconds: float
    ticks: int
    source: str
    scope: Scope
    quality: Quality
    reason: str | None = None

    def above(self, idle: Energy) -> Energy:
        """What is left when the power of an idle window is taken off for as long.

        None stands where either is None, or where they are of different sources.
        """
        if self.joules is None:
            return self
        if (idle.source, idle.scope) != (self.source, self.scope):
            return self._without_value(f"the idle window is of {idle.source}, not of {self.source}")
        if idle.mean_w is None:
            return self._without_value(f"the idle window has no value: {idle.reason}")
        joules = self.joules - idle.mean_w * self.seconds
        return replace(self, joules=joules, mean_w=joules / self.seconds)

    def _without_value(self, reason: str) -> Energy:
        return replace(self, joules=None, mean_w=None, quality="unavailable", reason=reason)

    @classmethod
    def missing(cls, reason: str, scope: Scope = "machine") -> Energy:
        """Where there is no source at all."""
        return cls(None, None, 0.0, 0, "none", scope, "unavailable", reason)


class Total:
    """Joules of the readings of one source so far. No clock, no thread."""

    def __init__(self, source: EnergySource) -> None:
        self._source = source
        self.joules = 0.0
        self.ticks = 0
        self.problem: str | None = None
        self._first_s = self._last_s = self._moved_s = 0.0
        self._last: tuple[float, ...] | None = None

    @property
    def seconds(self) -> float:
        """Between the first reading and the last."""
        return self._last_s - self._first_s

    def add(self, time_s: float, values: tuple[float, ...]) -> None:
        """One reading, as `EnergySource.read` gives it."""
        if self._last is None:
            self._first_s = self._moved_s = time_s
        else:
            gap_s = time_s - self._last_s
            self._check_gap(gap_s)
            self._check_stillness(time_s, values != self._last)
            parts = zip(self._last, values, self._source.range_j, strict=True)
            joules = sum(self._joules_between(*part, gap_s) for part in parts)
            if joules > MAX_POWER_W * (gap_s + 0.1):
                self.fail(f"it rose by {joules:.0f} J in {gap_s:.2f} s: it was reset, or wrapped")
            self.joules += joules
        self._last, self._last_s = values, time_s

    def fail(self, problem: str) -> None:
        """The window has no value; the first problem is the reason."""
        self.problem = self.problem or problem

    def energy(self) -> Energy:
        """What the readings amount to."""
        source = self._source
        result = Energy(
            self.joules,
            self.joules / self.seconds if self.seconds else None,
            self.seconds,
            self.ticks,
            source.source,
            source.scope,
            source.quality,
        )
        reason = self.problem or self._too_short()
        return result if reason is None else result._without_value(reason)

    def _too_short(self) -> str | None:
        source = self._source
        if self.seconds < source.min_s or not self.seconds:
            return f"{self.seconds:.2f} s measured; a window needs {source.min_s:g} s"
        if self.ticks < source.min_ticks:
            return f"{self.ticks} ticks seen; a window needs {source.min_ticks}"
        return None

    def _check_gap(self, gap_s: float) -> None:
        if gap_s < 0:
            self.fail("its readings are not in order of time")
        may_miss = self._source.kind == "gauge" or any(self._source.range_j)
        if gap_s > MAX_GAP_S and may_miss:
            self.fail(f"nothing was read for {gap_s:.0f} s (was the machine asleep?)")

    def _check_stillness(self, time_s: float, has_moved: bool) -> None:
        self.ticks += has_moved
        still_s = time_s - self._moved_s
        if has_moved:
            self._moved_s = time_s
        elif self._source.kind == "counter" and still_s > MAX_STILL_S:
            self.fail(f"stuck: the same value for {MAX_STILL_S:g} s")

    def _joules_between(
        self, last: float, now: float, range_j: float | None, gap_s: float
    ) -> float:
        if self._source.kind == "gauge":
            return (last + now) / 2 * gap_s
        if now >= last:
            return now - last
        if range_j is None:
            self.fail("it fell, and it is no counter that wraps")
            return 0.0
        return (now - last) % range_j


class Meter:
    """Measures one source between `start` and `stop`, in a thread that polls it.

    Neither call waits longer than the deadline for a sensor that does not answer.
    """

    def __init__(self, source: EnergySource, clock: Clock = time.monotonic) -> None:
        self.source = source
        self.energy = Energy(
            None, None, 0.0, 0, source.source, source.scope, "unavailable", "not stopped yet"
        )
        self._clock = clock
        self._thread: ExpendableThread | None = None

    def start(self) -> None:
        """Takes the first reading."""
        if self._thread is not None:
            raise RuntimeError("This meter runs already; one meter measures one window at a time.")
        self._total = Total(self.source)
        self._began, self._stopping = threading.Event(), threading.Event()
        self._thread = ExpendableThread(
            self._poll,
            f"lapwing meter {self.source.name}",
            (self._total, self._began, self._stopping),
        )
        self._thread.start()
        self._began.wait(self.source.deadline_s)

    def stop(self) -> Energy:
        """Takes the last reading → what was measured, also in `energy`."""
        if self._thread is None:
            raise RuntimeError("This meter does not run; call start first.")
        self._stopping.set()
        self._thread.join(self.source.deadline_s)
        if self._thread.is_alive():
            self._total.fail(f"did not answer within {1000 * self.source.deadline_s:.0f} ms")
        self._thread = None
        self.energy = self._total.energy()
        return self.energy

    def __enter__(self) -> Meter:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _poll(self, total: Total, began: threading.Event, stopping: threading.Event) -> None:
        while True:
            last = stopping.is_set()  # looked at before reading: the last reading is after the end
            try:
                values = self.source.read()
                total.add(self._clock(), values)
            except (OSError, ValueError) as error:
                total.fail(f"{why(error)}, after {total.seconds:.1f} s")
                began.set()
                return
            began.set()
            if last:
                return
            stopping.wait(self.source.poll_s)
