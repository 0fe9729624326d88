"""`benchmark_model`: what any callable takes, in time, memory, energy and heat.

result = lapwing.benchmark_model(lambda: lapwing.load("tales"), lambda: [464, 3290])
print(result.avg_inference_time, result.memory_usage, result.throughput)
"""

from __future__ import annotations

import dataclasses
import gc
import operator
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lapwing.backends.machine import trim_heap
from lapwing.bench.measure.energy import EnergyUse, Thermometer, measure_energy
from lapwing.bench.measure.sampler import Sampled, Sampler
from lapwing.bench.measure.stats import Summary
from lapwing.errors import RequestError
from lapwing.power.sensors import Sensors, discover

MEMORY_RUNS = 3  # under the eyes of the sampler, none of them timed
CREATING, RUNNING = "creating", "running"
NOT_ASKED = "not asked for: energy=True measures windows of 10 s"


@dataclass(frozen=True)
class BenchmarkResult:
    """Of one inference, unless it says otherwise. None: not measured; `reasons` say why.

    avg_inference_time: seconds, the mean; p50, p95, min, std: of the n timed runs.
    memory_usage: bytes that the process grew by, from before the model was created to the most it
    held while it ran. peak_rss_bytes: the most it held in all, creation included; avg_rss_bytes:
    its mean while it ran. peak_pss_bytes: pages that are shared count in part; peak_anon_bytes:
    pages that no file has; peak_swap_bytes: pages that are on the disk.
    throughput: inferences a second. creation_s: of the model, not part of any other time.
    energy_j: joules, with all that the machine takes; energy_net_j: without what it takes idle.
    temperature_rise_c: the most over what the first run began with.
    """

    avg_inference_time: float
    memory_usage: int | None
    throughput: float
    p50: float
    p95: float
    min: float
    std: float | None
    n: int
    peak_rss_bytes: int | None
    avg_rss_bytes: int | None
    peak_pss_bytes: int | None
    peak_anon_bytes: int | None
    peak_swap_bytes: int | None
    energy_j: float | None
    energy_net_j: float | None
    energy_source: str | None
    temperature_rise_c: float | None
    creation_s: float
    durations_s: tuple[float, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


def benchmark_model(
    model_factory: Callable[[], Any],
    input_generator: Callable[[], Any],
    num_runs: int = 10,
    warmup_runs: int = 3,
    *,
    energy: bool = False,
    sensors: Sensors | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> BenchmarkResult:
    """Creates a model, runs it, and tells what that took.

    model_factory() makes anything that can be called: one of Lapwing's models, a torch module, a
    function. input_generator() makes what it is called with, anew for each run: a tuple is several
    arguments, a mapping named ones. Neither is timed; the clock runs during the call alone. Garbage
    is not collected meanwhile. Memory is sampled by another process during creation, warm-up and
    runs of their own, and not during timed ones. A model that can be closed is, at the end. energy:
    measures windows of ten seconds, three of them. Raises RequestError for arguments that make no
    sense, and whatever the model raises.
    """
    num_runs, warmup_runs = _count("num_runs", num_runs, 1), _count("warmup_runs", warmup_runs, 0)
    for name, value in (("model_factory", model_factory), ("input_generator", input_generator)):
        if not callable(value):
            raise RequestError(f"{name}: expected a function, got {value!r}")
    sensors = discover() if sensors is None else sensors
    gc.collect()
    trim_heap()  # what earlier models have left is not this one's
    with Sampler(os.getpid()) as sampler:
        sampler.phase(CREATING)
        began_s = clock()
        model = model_factory()
        creation_s = clock() - began_s
        sampler.phase(RUNNING)
        try:
            run = _runner(model)
            for _ in range(max(warmup_runs, MEMORY_RUNS)):
                run(input_generator())
            sampler.pause()
            thermometer = Thermometer(sensors)
            durations_s = tuple(_timed(run, input_generator, num_runs, clock))
            heat = thermometer.heat()
            sampler.phase(RUNNING)
            for _ in range(MEMORY_RUNS):
                run(input_generator())
            seen = sampler.stop()
            use = measure_energy(lambda: run(input_generator()), sensors) if energy else None
        finally:
            close = getattr(model, "close", None)
            if callable(close):
                close()
    reasons = _reasons(sampler, use)
    if heat.rise_c is None:
        reasons["temperature_rise_c"] = heat.reason or "the sensor gave no value"
    average_s = sum(durations_s) / len(durations_s)
    summary = Summary.of(durations_s)
    return BenchmarkResult(
        avg_inference_time=average_s,
        throughput=1 / average_s if average_s > 0 else float("inf"),
        p50=summary.median,
        p95=summary.p95,
        min=summary.min,
        std=summary.std,
        n=summary.n,
        **_memory(seen),
        energy_j=None if use is None else use.per_run_j(),
        energy_net_j=None if use is None or use.net.joules is None else use.net.joules / use.runs,
        energy_source=None if use is None or use.gross.joules is None else use.gross.source,
        temperature_rise_c=heat.rise_c,
        creation_s=creation_s,
        durations_s=durations_s,
        reasons=reasons,
    )


def _runner(model: Any) -> Callable[[Any], object]:
    """Calls the model with what the generator made."""
    if not callable(model):
        raise RequestError(
            f"model_factory: it made a {type(model).__name__}, which cannot be called. Let it "
            "return a function of the input."
        )

    def run(given: Any) -> object:
        if isinstance(given, tuple):
            return model(*given)
        return model(**given) if isinstance(given, Mapping) else model(given)

    return run


def _timed(
    run: Callable[[Any], object],
    input_generator: Callable[[], Any],
    runs: int,
    clock: Callable[[], float],
) -> list[float]:
    durations_s = []
    gc.collect()
    collects = gc.isenabled()
    gc.disable()
    try:
        for _ in range(runs):
            given = input_generator()
            began_s = clock()
            result = run(given)
            durations_s.append(clock() - began_s)
            del result  # freed outside the clock, before the next is made
    finally:
        if collects:
            gc.enable()
    return durations_s


def _memory(seen: Sampled) -> dict[str, int | None]:
    before, running = seen.get(CREATING, "rss"), seen.get(RUNNING, "rss")
    return {
        "memory_usage": None if before is None or running is None else running.peak - before.first,
        "avg_rss_bytes": None if running is None else round(running.mean),
        "peak_rss_bytes": seen.peak("rss", CREATING, RUNNING),
        "peak_pss_bytes": seen.peak("pss", CREATING, RUNNING),
        "peak_anon_bytes": seen.peak("anon", CREATING, RUNNING),
        "peak_swap_bytes": seen.peak("swap", CREATING, RUNNING),
    }


def _reasons(sampler: Sampler, use: EnergyUse | None) -> dict[str, str]:
    reasons: dict[str, str] = {}
    if sampler.reason is not None:
        names = ("memory_usage", "peak_rss_bytes", "avg_rss_bytes", "peak_pss_bytes")
        reasons |= dict.fromkeys((*names, "peak_anon_bytes", "peak_swap_bytes"), sampler.reason)
    if use is None:
        reasons |= dict.fromkeys(("energy_j", "energy_net_j"), NOT_ASKED)
    else:
        for name, one in (("energy_j", use.gross), ("energy_net_j", use.net)):
            if one.joules is None:
                reasons[name] = one.reason or "no source"
    return reasons


def _count(name: str, value: object, least: int) -> int:
    try:
        count = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = -1
    if count < least:
        raise RequestError(f"{name}: expected a whole number from {least} up, got {value!r}")
    return count
