"""Energy and heat of runs, on machines made of files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from bench_fakes import IdlePower, counted_laptop
from tolerances import COUNTED_ENERGY

from lapwing.bench.measure.energy import Thermometer, measure_energy
from lapwing.power.sensors import discover

WINDOW_S, TICKS = 0.3, 10


def test_joules_of_a_run_and_of_the_idle_machine(tmp_path: Path) -> None:
    laptop = counted_laptop(tmp_path)

    def run() -> None:
        laptop.work(joules=0.5)
        time.sleep(0.01)

    use = measure_energy(run, laptop.sensors(window_s=WINDOW_S, ticks=5), window_s=WINDOW_S)
    assert use.gross.reason is None
    assert use.per_run_j() == pytest.approx(0.5, rel=COUNTED_ENERGY)
    assert use.gross.scope == "package"
    # Nothing was drawn while it was idle, so the counter stood still there: no idle power is known.
    assert use.net.joules is None
    assert "idle window has no value" in (use.net.reason or "")


def test_what_the_machine_takes_idle_is_taken_off(tmp_path: Path) -> None:
    laptop = counted_laptop(tmp_path)

    def run() -> None:
        laptop.work(joules=0.5)
        time.sleep(0.01)

    with IdlePower(laptop, watts=20.0):
        sensors = laptop.sensors(window_s=WINDOW_S, ticks=TICKS)
        use = measure_energy(run, sensors, window_s=WINDOW_S)
    assert use.gross.joules is not None
    assert use.net.joules is not None
    assert use.gross.joules > use.net.joules
    assert use.net.joules / use.runs == pytest.approx(0.5, rel=COUNTED_ENERGY)


def test_a_counter_lost_half_way_is_null_with_its_reason(tmp_path: Path) -> None:
    laptop = counted_laptop(tmp_path)
    done = 0

    def run() -> None:
        nonlocal done
        done += 1
        if done == 3:
            laptop.lose_sensors()
        elif done < 3:
            laptop.work(joules=0.5)
        time.sleep(0.01)

    sensors = laptop.sensors(window_s=WINDOW_S, ticks=0)
    use = measure_energy(run, sensors, window_s=WINDOW_S)
    assert use.per_run_j() is None
    assert use.net.joules is None
    assert "not there" in (use.gross.reason or "")
    assert use.heat.start_c == 45.0
    assert use.heat.rise_c is None
    assert "not there" in (use.heat.reason or "")


def test_a_machine_without_sensors_runs_nothing(tmp_path: Path) -> None:
    use = measure_energy(lambda: pytest.fail("it ran"), discover(tmp_path))
    assert use.runs == 0
    assert use.per_run_j() is None
    assert use.to_dict()["energy_j"] is None
    assert use.to_dict()["reason"]


def test_the_hottest_moment_counts(tmp_path: Path) -> None:
    laptop, now_s = counted_laptop(tmp_path, start_c=40.0), 0.0
    thermometer = Thermometer(laptop.sensors(), lambda: now_s)
    for degrees in (20.0, 15.0, -30.0):
        now_s += 1.0
        laptop.work(degrees=degrees)
        thermometer.look()
    heat = thermometer.heat()
    assert (heat.start_c, heat.max_c, heat.end_c, heat.rise_c) == (40.0, 75.0, 45.0, 35.0)
