"""Resident memory, measured in processes of their own.

VmRSS counts every resident page, those of mapped files included, and VmHWM is its highest value:
nothing hides from them. The kernel keeps both exactly for one process, so the bounds below allow
for allocators and libraries only, not for noise.

Run as a program, this file is the process that is measured: `test_memory.py STEP ARGUMENTS`
prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from resident import MB, SOURCES, counter, looked, settled, unwatched, warm_up, write

import lapwing

PYTHONPATH = os.pathsep.join(map(str, (SOURCES, Path(__file__).parents[1])))
FIXED = 4 * MB  # what a first use of threads, scratch memory and the allocator costs, once

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs the counters of Linux"
)

# One layer of GPT-2 and an embedding: 12·D² + V·D weights.
BIG = {"n_embd": 1536, "n_layer": 1, "vocab_size": 16384}  # 53 M weights, 214 MB as f32
SMALLER = {"n_embd": 1024, "n_layer": 1, "vocab_size": 12288}  # 25 M weights, 101 MB


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("big"), **BIG)


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("smaller"), **SMALLER)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(
        tmp_path_factory.mktemp("tiny"), n_embd=32, n_layer=2, vocab_size=64, n_positions=256
    )


def measured(step: str, *arguments: object) -> dict[str, Any]:
    """The JSON object that a step prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, step, *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (SOURCES, Path(__file__).parents[1]))),
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


# Steps: these run in the measured process.


def step_load(tiny: str, directory: str, dtype: str) -> dict[str, Any]:
    """What loading costs at its peak and in the end, and what passes add."""
    warm_up(tiny)
    before = settled()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    model = lapwing.load(directory, dtype=dtype, store=False)
    peak, loaded = counter("VmHWM") - before, settled() - before
    ids = list(range(1, 30))
    model.generate(ids, max_tokens=3, ignore_eos=True)
    after_passes = settled() - before
    for precision in model._recipe.precisions:
        model.generate(ids, max_tokens=3, ignore_eos=True, dtype=precision)
    after_every_precision = settled() - before
    return {
        "peak": peak,
        "loaded": loaded,
        "after_passes": after_passes,
        "after_every_precision": after_every_precision,
        "largest_tensor": max(p.tensor.nbytes for p in model.parameters),
        "estimate": model.estimate_memory_usage(),
        "weights": sum(p.N * p.K for p in model.parameters),
        "planes": sum(p.held_bytes for p in model.parameters if p.quantized),
        "plane_weights": sum(p.N * p.K for p in model.parameters if p.quantized),
        "load_s": model.load_s,
    }


def step_close(tiny: str, directory: str, dtype: str, store: str) -> dict[str, Any]:
    """Growth that stays after use and close."""
    warm_up(tiny)
    before = settled()
    model = lapwing.load(directory, dtype=dtype, store=store == "store")
    model.forward(list(range(1, 20)))
    model.generate([1, 2], max_tokens=3, ignore_eos=True)
    in_use = settled() - before
    model.close()
    return {"in_use": in_use, "left": settled() - before}


def step_runs(tiny: str) -> dict[str, Any]:
    """Many short runs, then a heap that is counted object by object."""
    with lapwing.load(tiny, dtype="int8") as model:

        def runs(count: int) -> None:
            for seed in range(count):
                model.generate([1, 2, 3], max_tokens=4, temperature=1.0, seed=seed, ignore_eos=True)

        runs(200)
        looked(model)
        before = counter("VmRSS")
        runs(1000)
        grown = counter("VmRSS") - before
        unwatched(model)  # what its thread is just working with is none of a run's
        tracemalloc.start()
        runs(50)
        first, _ = tracemalloc.get_traced_memory()
        runs(200)
        second, _ = tracemalloc.get_traced_memory()
        return {"resident": grown, "heap": second - first}


def step_looks(tiny: str) -> dict[str, Any]:
    """The governor looks, as it does once a second."""
    with lapwing.load(tiny, dtype="int8") as model:
        for _ in range(2000):
            model.governor.tick()
        before = counter("VmRSS")
        for _ in range(3000):  # most of an hour
            model.governor.tick()
        return {"resident": counter("VmRSS") - before}


def step_tokens(tiny: str) -> dict[str, Any]:
    """One long answer: what a token leaves behind."""
    with lapwing.load(tiny, dtype="int8") as model:
        model.generate([1], max_tokens=255, ignore_eos=True)
        looked(model)
        tracemalloc.start()
        stream = model.stream([1], max_tokens=255, ignore_eos=True)
        heap, resident = [], []
        for at, _ in enumerate(stream):
            if at in (50, 250):
                heap.append(tracemalloc.get_traced_memory()[0])
                resident.append(counter("VmRSS"))
        return {"heap": heap[1] - heap[0], "resident": resident[1] - resident[0], "tokens": 200}


# Tests.


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_loading_takes_little_more_than_the_model(big: Path, tiny: Path, dtype: str) -> None:
    found = measured("load", tiny, big, dtype)
    assert found["estimate"] <= found["loaded"] <= found["estimate"] * 1.02 + FIXED
    assert found["peak"] <= 1.2 * found["loaded"] + found["largest_tensor"]
    # Running costs activations, the cache and scratch memory, all small here; and int4 passes of a
    # model held as int8 read planes that are there already.
    assert found["after_passes"] <= found["loaded"] + 2 * FIXED
    assert found["after_every_precision"] <= found["after_passes"] + FIXED / 4
    if dtype == "int8":
        assert found["planes"] * 8 <= 8.6 * found["plane_weights"]
        assert found["estimate"] * 8 <= 8.6 * found["weights"]  # positions and norms are float32
        assert found["loaded"] <= found["planes"] * 1.02 + FIXED  # resident is what is announced


def test_narrowing_takes_little_more_than_the_model(big: Path, tiny: Path) -> None:
    found = measured("load", tiny, big, "f16")
    assert found["estimate"] <= found["loaded"] <= found["estimate"] * 1.02 + FIXED
    assert found["peak"] <= 1.2 * found["loaded"] + found["largest_tensor"]


@pytest.mark.parametrize("store", ["store", "no store"])
@pytest.mark.parametrize("dtype", ["f32", "f16", "int8"])
def test_close_gives_memory_back(
    smaller: Path, tiny: Path, dtype: str, store: str, cache_folder: Path
) -> None:
    """f32 is read in place in the mapped file, f16 is a copy, int8 has planes: all must go.

    With a store, it is made in the process that is measured.
    """
    for made in (cache_folder / "stores").glob("*.safetensors"):
        made.unlink()
    found = measured("close", tiny, smaller, dtype, store)
    assert found["in_use"] > 25 * MB
    assert found["left"] <= 10 * MB


def test_runs_leave_nothing_behind(tiny: Path) -> None:
    found = measured("runs", tiny)
    assert found["resident"] <= MB
    assert found["heap"] <= 2000  # bytes, over 200 runs: less than one list each


def test_looks_leave_nothing_behind(tiny: Path) -> None:
    assert measured("looks", tiny)["resident"] <= MB / 5


def test_a_token_leaves_its_number_behind(tiny: Path) -> None:
    """Two lists keep it (the answer and the cache), each a pointer and a whole number."""
    found = measured("tokens", tiny)
    assert found["heap"] <= found["tokens"] * 2 * (8 + 32) + 2000
    assert found["resident"] <= MB


if __name__ == "__main__":
    steps = {
        "load": step_load,
        "close": step_close,
        "runs": step_runs,
        "looks": step_looks,
        "tokens": step_tokens,
    }
    print(json.dumps(steps[sys.argv[1]](*sys.argv[2:])))
