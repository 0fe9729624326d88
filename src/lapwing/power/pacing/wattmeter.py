"""Watts now, of the processor: from a counter of joules between two looks, or from a gauge."""

from __future__ import annotations

import time

from lapwing.power.sensors.discovery import Sensors
from lapwing.power.sensors.energy import EnergySource, Total
from lapwing.power.sensors.reading import Reading, Scope
from lapwing.power.sensors.sensor import Clock, Sensor, why

MIN_GAP_S = 0.1  # counters tick in ms
MAX_GAP_S = 5.0


class Wattmeter:
    """Of one source as long as it lives: watts of the package and of the machine do not mix.

    The package's counter, else its gauge, else a counter of the machine, else the battery's gauge.
    name: of the source. max_gap_s: a mean over longer is not what is taken now.
    """

    def __init__(
        self, sensors: Sensors, clock: Clock = time.monotonic, max_gap_s: float = MAX_GAP_S
    ) -> None:
        source = _choose(sensors)
        self.name = "watts" if source is None else source.name
        self._clock, self._max_gap_s = clock, max_gap_s
        self._gauge = source if isinstance(source, Sensor) else None
        self._counter = source if isinstance(source, EnergySource) else None
        self._why_not = sensors.why_not("energy")
        self._last: tuple[float, tuple[float, ...]] | None = None
        self._said: Reading[float] | None = None

    @property
    def counts(self) -> bool:
        """Whether the first look has no watts yet."""
        return self._counter is not None

    def read(self) -> Reading[float]:
        """Since the look before, or now."""
        if self._gauge is not None:
            return self._gauge.read()
        if self._counter is None:
            return Reading(
                None, "W", "none", "machine", "unavailable", self._clock(), self._why_not
            )
        now_s = self._clock()
        if self._said is not None and self._last is not None and now_s - self._last[0] < MIN_GAP_S:
            return self._said
        self._said = self._since_last(self._counter, now_s)
        return self._said

    def _since_last(self, counter: EnergySource, now_s: float) -> Reading[float]:
        try:
            values = counter.read()
        except (OSError, ValueError) as error:
            self._last = None
            return self._none(counter, now_s, why(error))
        last, self._last = self._last, (now_s, values)
        if last is None:
            return self._none(
                counter, now_s, "a counter of joules tells watts from the second look on"
            )
        last_s, last_values = last
        gap_s = now_s - last_s
        if not 0.0 < gap_s <= self._max_gap_s:
            return self._none(counter, now_s, f"nobody has looked for {gap_s:.0f} s")
        if values == last_values:
            return self._none(counter, now_s, "the counter has not moved")
        total = Total(counter)
        total.add(last_s, last_values)
        total.add(now_s, values)
        if total.problem is not None:
            return self._none(counter, now_s, total.problem)
        return Reading(
            total.joules / gap_s, "W", counter.source, counter.scope, counter.quality, now_s
        )

    @staticmethod
    def _none(counter: EnergySource, now_s: float, reason: str) -> Reading[float]:
        return Reading(None, "W", counter.source, counter.scope, "unavailable", now_s, reason)


def _choose(sensors: Sensors) -> EnergySource | Sensor[float] | None:
    scopes: tuple[Scope, ...] = ("package", "machine")
    for scope in scopes:
        counters = (e for e in sensors.energy if (e.kind, e.scope) == ("counter", scope))
        gauges = (s for s in sensors.of("power") if s.scope == scope)
        found = next(counters, None) or next(gauges, None)
        if found is not None:
            return found
    return None
