"""`benchmark_model`: what it reports of callables whose cost is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_fakes import counted_laptop
from tolerances import CLOCK_OVERHEAD_S, GROWN_MEMORY, SLEPT_LATE_S

import lapwing
from lapwing.bench.function import BenchmarkResult, benchmark_model
from lapwing.errors import RequestError

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="this system has no /proc/PID/status"
)


def test_ten_milliseconds_of_sleep_are_ten_milliseconds() -> None:
    """The system wakes a sleeper late, never early; the tool adds nothing that would show."""
    result = benchmark_model(lambda: lambda _: time.sleep(0.01), lambda: None)
    assert 0.01 <= result.min <= result.p50 <= 0.01 + SLEPT_LATE_S
    assert result.n == 10
    assert result.throughput == pytest.approx(1 / result.avg_inference_time)


def test_what_the_tool_itself_takes_is_far_below_a_percent() -> None:
    result = benchmark_model(lambda: lambda _: None, lambda: None, num_runs=200)
    assert result.min < CLOCK_OVERHEAD_S


@needs_proc
def test_a_hundred_megabytes_are_reported() -> None:
    def factory() -> Callable[[object], object]:
        held = np.ones(100_000_000, np.uint8)
        return lambda _: held[0]

    result = benchmark_model(factory, lambda: None, num_runs=2)
    assert result.memory_usage == pytest.approx(100e6, rel=GROWN_MEMORY)
    assert result.peak_rss_bytes is not None
    assert result.avg_rss_bytes is not None
    assert 100e6 < result.avg_rss_bytes <= result.peak_rss_bytes
    assert result.peak_anon_bytes is not None
    assert result.peak_pss_bytes is not None
    assert result.peak_anon_bytes < result.peak_rss_bytes


@needs_proc
def test_memory_of_a_moment_in_a_run_is_seen() -> None:
    """A run that takes 60 MB for twenty milliseconds and gives them back."""

    def run(_: object) -> None:
        taken = np.ones(60_000_000, np.uint8)
        time.sleep(0.02)
        del taken

    result = benchmark_model(lambda: run, lambda: None, num_runs=1)
    assert result.memory_usage == pytest.approx(60e6, rel=GROWN_MEMORY)


def test_the_clock_runs_during_calls_alone() -> None:
    """A clock that every part of the work moves on: only the calls are in the durations."""
    now_s = 0.0

    def spend(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    calls = []

    def factory() -> Callable[[object], object]:
        spend(1000.0)
        return lambda x: (spend(2.0), calls.append(x))

    def inputs() -> int:
        spend(100.0)
        return len(calls)

    result = benchmark_model(factory, inputs, 5, 4, clock=lambda: now_s)
    assert result.durations_s == (2.0,) * 5
    assert result.creation_s == 1000.0
    assert result.avg_inference_time == result.p95 == 2.0
    assert result.std == 0.0
    assert calls == list(range(4 + 5 + 3))  # warm-up, timed, memory: an input for each


def test_tuples_are_arguments_and_mappings_names() -> None:
    seen: list[Any] = []
    benchmark_model(lambda: lambda a, b=0: seen.append((a, b)), lambda: (1, 2), 1, 0)
    benchmark_model(lambda: lambda a, b=0: seen.append((a, b)), lambda: {"a": 3, "b": 4}, 1, 0)
    assert set(seen) == {(1, 2), (3, 4)}


def test_a_model_of_ours_is_closed_at_the_end() -> None:
    made = []

    def factory() -> Any:
        made.append(lapwing.load("tales", dtype="int4"))
        return made[-1]

    result = lapwing.benchmark_model(factory, lambda: [[5, 6, 7]], num_runs=3, warmup_runs=1)
    assert isinstance(result, BenchmarkResult)
    assert result.avg_inference_time > 0
    with pytest.raises(RequestError, match="closed"):
        made[0].forward([1])


def test_what_is_not_measured_has_its_reason(tmp_path: Path) -> None:
    from lapwing.power.sensors import discover

    result = benchmark_model(
        lambda: lambda _: None, lambda: None, 1, 0, energy=True, sensors=discover(tmp_path)
    )
    assert result.energy_j is None
    assert result.energy_net_j is None
    assert result.temperature_rise_c is None
    assert {"energy_j", "energy_net_j", "temperature_rise_c"} <= set(result.reasons)
    assert all(result.reasons.values())


def test_temperature_and_energy_of_a_machine_that_tells(tmp_path: Path) -> None:
    """A fake laptop whose counter and thermometer a run moves on."""
    laptop = counted_laptop(tmp_path, start_c=50.0)
    result = benchmark_model(
        lambda: lambda _: laptop.work(joules=2.0, degrees=1.0),
        lambda: None,
        num_runs=5,
        warmup_runs=3,
        sensors=laptop.sensors(),
    )
    assert result.temperature_rise_c == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"num_runs": 0}, "num_runs: expected a whole number from 1 up, got 0"),
        ({"num_runs": 2.5}, "num_runs: expected a whole number"),
        ({"num_runs": True}, "num_runs: expected a whole number"),
        ({"warmup_runs": -1}, "warmup_runs: expected a whole number from 0 up, got -1"),
        ({"input_generator": 7}, "input_generator: expected a function, got 7"),
        ({"model_factory": lambda: 7}, "it made a int, which cannot be called"),
    ],
)
def test_senseless_arguments_are_refused(arguments: dict[str, Any], told: str) -> None:
    given = {"model_factory": lambda: print, "input_generator": lambda: ""} | arguments
    with pytest.raises(RequestError, match=told):
        benchmark_model(**given)


def test_an_error_of_the_model_is_the_callers(capfd: pytest.CaptureFixture[str]) -> None:
    def broken(_: object) -> None:
        raise OSError("the model's own")

    with pytest.raises(OSError, match="the model's own"):
        benchmark_model(lambda: broken, lambda: None)
    assert capfd.readouterr() == ("", "")
