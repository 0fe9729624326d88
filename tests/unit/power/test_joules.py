"""Joules of requests, from a counter that is read once a second."""

from __future__ import annotations

import pytest

from lapwing.power.pacing.joules import Joules
from lapwing.power.sensors.energy import EnergySource


class Machine:
    """A clock, and a counter of joules that wraps."""

    def __init__(self, range_j: float | None = 1000.0) -> None:
        self.now_s, self.joules, self.broken = 0.0, 990.0, False
        self.range_j = range_j
        source = EnergySource("RAPL package", "energy_uj", "package", self.read, range_j=(range_j,))
        self.meter = Joules(source, "", lambda: self.now_s)

    def read(self) -> tuple[float, ...]:
        if self.broken:
            raise PermissionError
        return (self.joules % self.range_j if self.range_j else self.joules,)

    def go(self, seconds: int, watts: float) -> None:
        for _ in range(seconds):
            self.now_s += 1.0
            self.joules += watts
            self.meter.tick()

    def sleep(self, seconds: float, watts: float) -> None:
        self.meter.park()
        self.now_s += seconds
        self.joules += watts * seconds
        self.meter.tick()


def test_a_request_across_a_wrap() -> None:
    machine = Machine()
    machine.go(3, 5.0)
    mark = machine.meter.mark()
    machine.go(20, 15.0)
    used = machine.meter.since(mark)
    assert (used.joules, used.scope, used.reason) == (pytest.approx(300.0), "package", None)
    assert used.seconds == pytest.approx(20.0)


def test_a_short_one_says_why_it_has_none() -> None:
    machine = Machine()
    machine.go(3, 5.0)
    mark = machine.meter.mark()
    machine.go(5, 15.0)
    used = machine.meter.since(mark)
    assert used.joules is None
    assert used.reason == "5.0 s; RAPL package needs 10 s"


def test_the_moment_before_the_first_reading_counts_as_those_after_it() -> None:
    machine = Machine()
    mark = machine.meter.mark()  # nobody reads yet
    machine.now_s += 0.2
    machine.joules += 3.0
    machine.meter.tick()
    machine.go(20, 15.0)
    used = machine.meter.since(mark)
    assert used.joules == pytest.approx(15.0 * 20.2)


def test_nobody_read_for_most_of_it() -> None:
    machine = Machine()
    mark = machine.meter.mark()
    machine.now_s += 30.0
    machine.meter.tick()
    machine.go(20, 15.0)
    assert machine.meter.since(mark).reason == "nothing was read for 30.0 s of it"
    assert Machine().meter.since(mark).reason == "it was over before the first reading"


def test_idle_watts_are_known_from_the_time_asleep() -> None:
    machine = Machine()
    machine.go(3, 15.0)
    machine.sleep(60.0, 4.0)
    assert machine.meter.idle_w == pytest.approx(4.0)
    mark = machine.meter.mark()
    machine.go(20, 15.0)
    used = machine.meter.since(mark)
    assert (used.joules, used.idle_j) == (pytest.approx(300.0), pytest.approx(80.0))


@pytest.mark.parametrize("seconds", [2.0, 4000.0])
def test_sleep_that_is_too_short_or_too_long_tells_nothing(seconds: float) -> None:
    machine = Machine()
    machine.go(3, 15.0)
    machine.sleep(seconds, 4.0)
    assert machine.meter.idle_w is None


def test_a_counter_that_is_lost() -> None:
    machine = Machine()
    mark = machine.meter.mark()
    machine.go(15, 15.0)
    machine.broken = True
    machine.go(3, 15.0)
    assert machine.meter.since(mark).joules is None
    assert machine.meter.since(mark).reason == "permission denied"
    machine.meter.park()
    machine.broken = False
    machine.go(2, 15.0)
    mark = machine.meter.mark()
    machine.go(12, 15.0)
    assert machine.meter.since(mark).joules == pytest.approx(180.0)


def test_no_source_at_all() -> None:
    meter = Joules(None, "RAPL: permission denied")
    meter.tick()
    meter.park()
    used = meter.since(meter.mark())
    assert (used.joules, used.reason) == (None, "RAPL: permission denied")
