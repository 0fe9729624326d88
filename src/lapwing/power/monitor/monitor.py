"""Samples of a machine, as it is now."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from lapwing.power.governor.memory import Memory
from lapwing.power.governor.observation import Observation
from lapwing.power.governor.settings import Settings
from lapwing.power.governor.state import State
from lapwing.power.governor.step import step
from lapwing.power.monitor.memory import used
from lapwing.power.monitor.sample import Line, Sample, Verdict
from lapwing.power.pacing.look import STALE_S, STALLS, Look
from lapwing.power.pacing.status import Status, published
from lapwing.power.sensors.deadline import BoundedTree
from lapwing.power.sensors.discovery import discover
from lapwing.power.sensors.load import OtherLoad
from lapwing.power.sensors.reading import Quantity, Reading
from lapwing.power.sensors.sensor import Clock, Sensor
from lapwing.power.sensors.tree import open_tree

_SHOWN: tuple[Quantity, ...] = (
    "temperature",
    "frequency",
    "plugged",
    "charge",
    "fan",
    "throttle",
    "pressure",
)


class Monitor:
    """Of one root, as `discover` takes it. interval_s: how often it will be asked.

    statuses: what running processes tell; of this machine only, whatever the root.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        interval_s: float = 1.0,
        statuses: Callable[[], list[Status]] = published,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        tree = open_tree(root)
        self.sensors = discover(tree)
        self._tree = BoundedTree(tree)
        self._load = OtherLoad(self._tree, clock)
        self._look = Look(self.sensors, self._load.read, clock, max(STALE_S, 2 * interval_s))
        self._statuses, self._clock, self._wall = statuses, clock, wall
        self._by_name = {sensor.name: sensor for sensor in self.sensors.readings}
        self._memory: Memory | None = None
        self._stepped_s = clock() - interval_s

    def prime(self) -> bool:
        """Looks for the first time → whether that helps: some values are told from two looks on."""
        self._look.now()
        return self._look.wattmeter.counts or self._load.reason == "it takes two readings"

    def sample(self) -> Sample:
        """Now."""
        time_s = self._wall()
        seen = self._look.now()
        readings = dict(self._look.readings)
        for sensor in (*self.sensors.of("frequency")[:1], *self.sensors.of("status")[:1]):
            readings[sensor.name] = sensor.read()
        for sensor in self.sensors.of("power"):  # what the battery gives, beside the package
            if sensor.scope == "machine" and sensor.name not in readings:
                readings[sensor.name] = sensor.read()
        lines = {name: self._line(name, reading) for name, reading in readings.items()}
        lines["memory used"] = used(self._tree)
        return Sample(
            time_s, lines, self._missing(lines), seen, self._verdict(seen), tuple(self._statuses())
        )

    def _line(self, name: str, reading: Reading[Any]) -> Line:
        sensor: Sensor[Any] | None = self._by_name.get(name)
        return Line(
            "power" if sensor is None else sensor.quantity,  # a counter, from which watts are told
            reading.value,
            reading.unit,
            reading.source,
            reading.scope,
            reading.quality,
            reading.reason,
            None if sensor is None else sensor.limit,
        )

    def _missing(self, lines: dict[str, Line]) -> dict[str, str]:
        there = {line.quantity for line in lines.values()}
        return {quantity: self._why_not(quantity) for quantity in _SHOWN if quantity not in there}

    def _why_not(self, quantity: Quantity) -> str:
        if quantity == "pressure":  # of memory alone
            reasons = (m.reason for m in self.sensors.missing if m.name == STALLS)
            return next(reasons, "this system does not tell")
        if self.sensors.of(quantity):
            return "none of its sensors is the processor's"
        return self.sensors.why_not(quantity)

    def _verdict(self, seen: Observation) -> Verdict:
        now_s = self._clock()
        command = step(State(seen, self._memory, Settings()), now_s - self._stepped_s)
        self._memory, self._stepped_s = command.memory, now_s
        return Verdict(command.mode, command.duty, command.admit, command.shed, command.reasons)
