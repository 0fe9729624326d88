"""Precision by the battery, admission of background work, pressure, fan, watts."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest

from lapwing.power.governor import admission, fan, precision, pressure, watts
from lapwing.power.governor.admission import Waiting
from lapwing.power.governor.fan import Fan
from lapwing.power.governor.observation import Observation
from lapwing.power.governor.precision import Switching
from lapwing.power.governor.pressure import Pressed
from lapwing.power.governor.watts import Draw

Second = tuple[bool | None, float | None]  # on battery, charge


def switches(trace: Iterable[Second]) -> list[tuple[int, str]]:
    """(second, new precision) of each switch."""
    state, found = Switching(), []
    for at, (on_battery, charge) in enumerate(trace):
        before = state.precision
        now, state = precision.control(state, on_battery, charge, float(at), 1.0)
        if now != before:
            found.append((at, now))
    return found


def test_a_discharge_switches_once() -> None:
    found = switches((True, 0.9 - at / 7200) for at in range(7200))
    assert [name for _, name in found] == ["int4"]
    assert 0.9 - found[0][0] / 7200 == pytest.approx(precision.DOWN_AT, abs=0.001)


def test_a_noisy_gauge_does_not_flap() -> None:
    noise = random.Random(5)
    trace = [(True, 0.41 - 0.02 * at / 3600 + noise.gauss(0, 0.01)) for at in range(3600)]
    assert len(switches(trace)) == 1


def test_a_flapping_plug_does_not_flap() -> None:
    trace = [((at // 40) % 2 == 0, 0.35) for at in range(3600)]
    assert len(switches(trace)) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_no_trace_switches_more_than_the_limit(seed: int) -> None:
    wild = random.Random(seed)
    trace: list[Second] = []
    while len(trace) < 4 * 3600:
        second: Second = (wild.random() < 0.5, wild.random())
        trace += [second] * wild.randrange(1, 600)
    at = [when for when, _ in switches(trace)]
    assert all(later - when >= precision.DWELL_S for when, later in pairwise(at))
    assert all(sum(0 <= x - when < 3600 for x in at) <= precision.PER_HOUR for when in at)


def test_stable_ac_brings_int8_back() -> None:
    trace = [(True, 0.3)] * 400 + [(False, 0.3)] * 100
    assert switches(trace) == [(0, "int4"), (400 + 59, "int8")]


def test_half_charged_brings_int8_back() -> None:
    assert switches([(True, 0.3)] * 400 + [(True, 0.55)]) == [(0, "int4"), (400, "int8")]


def test_an_unknown_source_changes_nothing() -> None:
    assert switches([(None, None), (None, 0.1), (True, None)] * 500) == []


def admitted(waiting: Waiting, seconds: int, **seen: object) -> tuple[str | None, Waiting]:
    why: str | None = None
    for _ in range(seconds):
        why, waiting = admission.control(waiting, replace(Observation(), **seen), 1.0)  # type: ignore[arg-type]
    return why, waiting


def test_background_work_waits_for_stable_ac() -> None:
    why, waiting = admitted(Waiting(), 59, on_battery=False)
    assert why == "plugged in for 59 of 60 s"
    assert admitted(waiting, 1, on_battery=False)[0] is None


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"on_battery": True}, "on battery"),
        ({"saver": True}, "the system saves power"),
        ({"temperature_c": 65.0}, "65 °C"),
        ({"load": 0.3}, "load 30 %"),
    ],
)
def test_background_work_waits(seen: dict[str, object], why: str) -> None:
    assert admitted(Waiting(), 100, **seen)[0] == why


def test_background_work_is_not_stopped_by_its_own_heat() -> None:
    _, waiting = admitted(Waiting(), 61, on_battery=False, temperature_c=40.0, load=0.1)
    why, waiting = admitted(waiting, 10, on_battery=False, temperature_c=80.0, load=0.9)
    assert why is None
    assert admitted(waiting, 1, on_battery=True)[0] == "on battery"


def test_pressure_lowers_at_once_and_recovers_slowly() -> None:
    duty, state = pressure.control(Pressed(), "heavy", 1.0)
    assert duty == pytest.approx(0.7)
    for _ in range(14):
        duty, state = pressure.control(state, "heavy", 1.0)
    assert duty == pytest.approx(0.7)  # what was done is given time
    duty, state = pressure.control(state, "heavy", 1.0)
    assert duty == pytest.approx(0.49)
    for _ in range(19):
        duty, state = pressure.control(state, "nominal", 1.0)
    assert duty == pytest.approx(0.49)
    for _ in range(60):
        duty, state = pressure.control(state, "nominal", 1.0)
    assert duty == 1.0


def test_moderate_pressure_holds() -> None:
    state = Pressed(0.5)
    for _ in range(100):
        duty, state = pressure.control(state, "moderate", 1.0)
    assert duty == 0.5


def test_a_loud_fan_lowers_the_set_point() -> None:
    state, set_c = Fan(), 0.0
    for _ in range(120):
        set_c, state = fan.control(state, 4000.0, 1.0)
    assert set_c == fan.START_C - 4 * fan.DOWN_C
    for _ in range(3600):
        set_c, state = fan.control(state, 1000.0, 1.0)
    assert fan.START_C < set_c <= fan.HIGHEST_C
    for _ in range(100 * 30):
        set_c, state = fan.control(state, 4000.0, 1.0)
    assert set_c == fan.LOWEST_C


def test_without_a_fan_the_set_point_stays() -> None:
    assert fan.control(Fan(), None, 1.0) == (fan.START_C, Fan())


def test_watts_settle_on_the_budget() -> None:
    state, duty = Draw(), 1.0
    for _ in range(60):
        duty, state = watts.control(state, 4.0 + 26.0 * duty, 15.0, duty, 1.0)
    assert 4.0 + 26.0 * duty == pytest.approx(15.0, rel=0.15)
    assert 4.0 + 26.0 * duty <= 15.001


def test_unknown_watts_limit_nothing() -> None:
    assert watts.control(Draw(), None, 10.0, 1.0, 1.0) == (1.0, Draw())


def test_heat_that_takes_much_of_the_duty_asks_for_int4_until_it_is_gone() -> None:
    state, now = Switching(), "int8"
    heat = ["warm"] * 100 + ["hot"] * 10 + ["warm"] * 400 + ["cool"] * 10
    seen = []
    for at, level in enumerate(heat):
        now, state = precision.control(state, None, None, float(at), 1.0, level)  # type: ignore[arg-type]
        seen.append(now)
    assert seen.index("int4") == 100
    assert seen[100:510] == ["int4"] * 410
    assert seen[-1] == "int8"


def test_heat_that_comes_and_goes_switches_at_most_four_times_an_hour() -> None:
    state, changes = Switching(), 0
    for at in range(3600):
        before = state.precision
        _, state = precision.control(
            state, None, None, float(at), 1.0, "hot" if at // 20 % 2 else "cool"
        )
        changes += state.precision != before
    assert 1 <= changes <= precision.PER_HOUR


def test_one_absurd_reading_of_watts_is_forgotten() -> None:
    _, state = watts.control(Draw(), 7e15, 15.0, 0.1, 1.0)
    duty, state = watts.control(state, 0.5, 15.0, 0.1, 5.0)
    assert duty == 1.0
    assert state.active_w == pytest.approx(5.0)
