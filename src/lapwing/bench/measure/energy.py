"""Joules and degrees of something that is run again and again.

A window is at least ten seconds long, between two idle ones (one of ten seconds before, one after);
what a machine cannot tell is None with the reason of its sensors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lapwing.power.sensors import Energy, EnergySource, Meter, Sensors

WINDOW_S = 10.0
PACE_S = 0.25  # of looking at temperatures between runs
MARGIN = 1.02  # longer than the window: its two readings stand inside it


@dataclass(frozen=True)
class Heat:
    """Degrees Celsius of one sensor while something ran; None where it has no value."""

    start_c: float | None
    max_c: float | None
    end_c: float | None
    source: str
    reason: str | None = None

    @property
    def rise_c(self) -> float | None:
        """The most over what it began with."""
        if self.start_c is None or self.max_c is None:
            return None
        return self.max_c - self.start_c


class Thermometer:
    """Looks at the most trustworthy temperature whenever it is asked to, but not all the time."""

    def __init__(self, sensors: Sensors, clock: Callable[[], float] = time.monotonic) -> None:
        self._sensor = sensors.first("temperature")
        self._why_not = sensors.why_not("temperature")
        self._clock, self._next_s = clock, 0.0
        self._seen: list[float] = []
        self._lost: str | None = None
        self.look()

    def look(self, *, now: bool = False) -> float | None:
        """Degrees; None where nothing was looked at, or there is no value."""
        if self._sensor is None or (not now and self._clock() < self._next_s):
            return None
        self._next_s = self._clock() + PACE_S
        reading = self._sensor.read()
        if reading.value is None:
            self._lost = reading.reason
            return None
        self._seen.append(reading.value)
        return reading.value

    def heat(self) -> Heat:
        """What was seen. A sensor that was lost half-way has no value at the end, and says why."""
        if self._sensor is None:
            return Heat(None, None, None, "none", self._why_not)
        self._lost = None
        end = self.look(now=True)
        start, most = (self._seen[0], max(self._seen)) if self._seen else (None, None)
        if end is None:
            return Heat(start, None, None, self._sensor.source, self._lost)
        return Heat(start, most, end, self._sensor.source)


@dataclass(frozen=True)
class EnergyUse:
    """Of one window of `runs` runs. gross: everything; net: without what the idle machine takes.

    Both have their reason where they have no joules.
    """

    gross: Energy
    net: Energy
    runs: int
    heat: Heat

    def per_run_j(self) -> float | None:
        """Gross joules of one run."""
        return None if self.gross.joules is None else self.gross.joules / self.runs

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        gross, net = self.gross, self.net
        return {
            "energy_j": gross.joules,
            "energy_net_j": net.joules,
            "mean_w": gross.mean_w,
            "mean_net_w": net.mean_w,
            "seconds": gross.seconds,
            "runs": self.runs,
            "j_per_run": self.per_run_j(),
            "source": gross.source,
            "scope": gross.scope,
            "quality": gross.quality,
            "reason": gross.reason,
            "net_reason": net.reason,
        }


def measure_energy(
    run: Callable[[], object],
    sensors: Sensors,
    *,
    window_s: float = WINDOW_S,
    idle: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> EnergyUse:
    """Idle, as many runs as fill the window, idle again. Without a source nothing is run."""
    source = sensors.energy_source()
    thermometer = Thermometer(sensors, clock)
    if source is None:
        missing = sensors.no_energy()
        return EnergyUse(missing, missing, 0, thermometer.heat())
    window_s = MARGIN * max(window_s, source.min_s)
    before = _idle(source, window_s, idle, clock)
    runs, meter = 0, Meter(source, clock)
    meter.start()
    began_s = clock()
    while runs == 0 or clock() - began_s < window_s:
        run()
        runs += 1
        thermometer.look()
    gross = meter.stop()
    after = _idle(source, window_s, idle, clock)
    # The quieter window is the idle machine; in the other one something else may have run.
    quiet = before if before.mean_w is not None else after
    if before.mean_w is not None and after.mean_w is not None:
        quiet = before if before.mean_w <= after.mean_w else after
    return EnergyUse(gross, gross.above(quiet), runs, thermometer.heat())


def _idle(
    source: EnergySource, window_s: float, idle: Callable[[float], None], clock: Callable[[], float]
) -> Energy:
    meter = Meter(source, clock)
    meter.start()
    idle(window_s)
    return meter.stop()
