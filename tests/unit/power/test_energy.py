"""Joules between two moments: laws of the sum, and windows that have no value."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_trees import POWERCAP, rapl

from lapwing.power.sensors import Energy, EnergySource, Meter, discover
from lapwing.power.sensors.energy import MAX_GAP_S, MAX_POWER_W, Total
from lapwing.power.sensors.tree import Recording

AMD_RANGE_J = 65_532.61


def source(**changes: object) -> EnergySource:
    plain = EnergySource("counter", "file", "package", lambda: (0.0,), range_j=(AMD_RANGE_J,))
    return replace(plain, **changes)  # type: ignore[arg-type]


def total(kind: EnergySource, readings: list[tuple[float, float]]) -> Energy:
    sum_ = Total(kind)
    for time_s, value in readings:
        sum_.add(time_s, (value,))
    return sum_.energy()


STEPS = st.lists(
    st.tuples(st.floats(0.01, 50.0), st.floats(0.001, 0.99)), min_size=100, max_size=300
)


@given(STEPS, st.floats(0, AMD_RANGE_J, exclude_max=True))
def test_wherever_a_counter_begins_and_wraps_the_sum_is_the_same(
    steps: list[tuple[float, float]], start_j: float
) -> None:
    """Each step lasts so long, at that share of the most power that is believed."""
    time_s, used_j, readings = 100.0, 0.0, [(100.0, start_j)]
    for seconds, share in steps:
        time_s += seconds
        used_j += share * MAX_POWER_W * seconds
        readings.append((time_s, (start_j + used_j) % AMD_RANGE_J))
    energy = total(source(min_s=0), readings)
    assert energy.reason is None
    assert energy.joules == pytest.approx(used_j, rel=1e-9)
    assert energy.mean_w == pytest.approx(used_j / (time_s - 100), rel=1e-9)
    assert energy.ticks == len(steps)


@given(st.lists(st.floats(0.01, 30.0), min_size=100, max_size=200), st.floats(1, 100))
def test_a_steady_gauge_is_power_times_time(gaps_s: list[float], watts: float) -> None:
    times_s = [sum(gaps_s[:n]) for n in range(len(gaps_s) + 1)]
    wobble = [(t, watts + (0.5 if n % 2 else -0.5)) for n, t in enumerate(times_s)]
    energy = total(source(kind="gauge", range_j=(None,), min_s=0), wobble)
    assert energy.joules == pytest.approx(watts * times_s[-1])  # each trapezoid's mean is `watts`


def test_several_packages_each_wrap_alone() -> None:
    sum_ = Total(source(range_j=(10.0, 100.0), min_s=0, min_ticks=1))
    for time_s, values in ((0.0, (9.0, 95.0)), (1.0, (1.0, 99.0)), (2.0, (2.0, 3.0))):
        sum_.add(time_s, values)
    assert sum_.energy().joules == pytest.approx((2 + 1) + (4 + 4))


def steady(seconds: int, watts: float = 10.0) -> list[tuple[float, float]]:
    return [(n / 10, n / 10 * watts) for n in range(10 * seconds + 1)]


@pytest.mark.parametrize(
    ("readings", "reason"),
    [
        (steady(9), "9.00 s measured; a window needs 10 s"),
        ([], "0.00 s measured; a window needs 10 s"),
        ([(0.0, 5.0), (20.0, 5.0)], "stuck: the same value for 5 s"),
        (
            [*steady(20), *((20 + n / 10, 200.0) for n in range(60)), (26.0, 201.0)],
            "stuck: the same value for 5 s",
        ),
        ([(float(n), n // 2) for n in range(60)], "29 ticks seen; a window needs 100"),
        (
            [*steady(20), (20.1, 50_000.0)],
            "it rose by 49800 J in 0.10 s: it was reset, or wrapped",
        ),
        (
            [*steady(20), (20.0 + MAX_GAP_S + 1, 300.0)],
            "nothing was read for 61 s (was the machine asleep?)",
        ),
        ([*steady(20), (19.0, 201.0)], "its readings are not in order of time"),
    ],
)
def test_no_value_without_a_reason(readings: list[tuple[float, float]], reason: str) -> None:
    energy = total(source(), readings)
    assert (energy.joules, energy.mean_w, energy.quality) == (None, None, "unavailable")
    assert energy.reason == reason


def test_a_counter_without_a_known_end_must_not_fall() -> None:
    energy = total(source(range_j=(None,)), [*steady(20), (20.1, 3.0)])
    assert energy.reason == "it fell, and it is no counter that wraps"


def test_what_is_above_idle() -> None:
    work, idle = total(source(), steady(20, 30.0)), total(source(), steady(10, 4.0))
    above = work.above(idle)
    assert above.joules == pytest.approx(20 * 26.0)
    assert above.mean_w == pytest.approx(26.0)
    other = replace(idle, source="battery")
    assert work.above(other).reason == "the idle window is of battery, not of file"
    short = total(source(), steady(5))
    assert work.above(short).joules is None
    assert "a window needs 10 s" in str(work.above(short).reason)
    assert short.above(idle) == short


def test_across_a_wrap_from_files() -> None:
    energy_file = f"{POWERCAP}/intel-rapl:0/energy_uj"
    files = Recording(rapl("0", "package-0", 999_000, range_uj=1_000_000))
    found = discover(files).energy_source()
    assert found is not None
    meter = Meter(replace(found, min_s=0.0, min_ticks=1, poll_s=0.005))
    with meter:
        time.sleep(0.03)
        files.files[energy_file] = "2000"
        time.sleep(0.03)
    assert meter.energy.joules == pytest.approx(0.003)
    assert meter.energy.seconds >= 0.06
    assert (meter.energy.scope, meter.energy.quality) == ("package", "measured")


def test_a_source_lost_half_way() -> None:
    calls = 0

    def read() -> tuple[float, ...]:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise FileNotFoundError
        return (float(calls),)

    meter = Meter(source(read=read, poll_s=0.001))
    meter.start()
    time.sleep(0.05)
    assert str(meter.stop().reason).startswith("it is not there (any more), after 0.0 s")


def test_a_source_that_hangs_does_not_hang_the_caller() -> None:
    never = threading.Event()

    def read() -> tuple[float, ...]:
        never.wait()
        return (0.0,)

    meter = Meter(source(read=read))
    began_s = time.monotonic()
    with meter:
        pass
    assert time.monotonic() - began_s < 5  # two deadlines of 0.2 s
    assert meter.energy.reason == "did not answer within 200 ms"
    never.set()


def test_one_window_at_a_time() -> None:
    meter = Meter(source())
    with pytest.raises(RuntimeError, match="call start first"):
        meter.stop()
    with meter, pytest.raises(RuntimeError, match="runs already"):
        meter.start()
    assert meter.energy.joules is None
    with meter:  # and again
        pass
