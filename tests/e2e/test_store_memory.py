"""What a mapped store costs in memory, measured in processes of their own, on 200 MB.

Run as a program, this file is the process that is measured: `test_store_memory.py STEP ARGUMENTS`
prints one JSON object.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import needs_core
from resident import MB, SOURCES, counter, looked, settled, warm_up, write

import lapwing
from lapwing.weights.store.file import StoreFile

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs the maps of Linux"),
    needs_core,
]

# 12·D²·layers + V·D = 201 M weights.
BIG = {"n_embd": 2048, "n_layer": 3, "vocab_size": 24576, "n_positions": 128}
IDS = list(range(1, 9))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store-memory")


@pytest.fixture(scope="module")
def big(cache: Path) -> Iterator[Path]:
    directory = write(cache / "big", **BIG)
    made = measured(cache, "make", directory)
    assert made["store"] >= 200 * MB
    yield directory
    for path in (directory / "model.safetensors", Path(made["path"])):
        path.unlink()


@pytest.fixture(scope="module")
def tiny(cache: Path) -> Path:
    return write(cache / "tiny", n_embd=32, n_layer=2, vocab_size=64, n_positions=256)


def begun(cache: Path, step: str, *arguments: object) -> subprocess.Popen[str]:
    tests = Path(__file__).parent
    paths = os.pathsep.join(map(str, (SOURCES, tests, tests.parent)))
    return subprocess.Popen(
        [sys.executable, __file__, step, *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": paths,
            "OPENBLAS_NUM_THREADS": "1",
            "LAPWING_CACHE": str(cache),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def measured(cache: Path, step: str, *arguments: object) -> dict[str, Any]:
    with begun(cache, step, *arguments) as process:
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return dict(json.loads(out))


# Steps: these run in the measured process.


def store_of(model: lapwing.Model) -> StoreFile:
    store = model._checkpoint.store
    assert isinstance(store, StoreFile)
    return store


def smaps(path: Path) -> dict[int, dict[str, int]]:
    """Offset in the file → bytes of each counter, of every mapping of it."""
    found: dict[int, dict[str, int]] = {}
    counters: dict[str, int] | None = None
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split(" ", 1)[0]
        if "-" in first and not first.endswith(":"):
            fields = line.split(maxsplit=5)
            mine = len(fields) == 6 and fields[5] == str(path)
            counters = found.setdefault(int(fields[2], 16), {}) if mine else None
        elif counters is not None and line.endswith(" kB"):
            name, value = line.split(":")
            counters[name] = counters.get(name, 0) + int(value.split()[0]) * 1024
    return found


def area_offset(store: StoreFile, area: str) -> int:
    return store._area_begin(area)


def step_make(directory: str) -> dict[str, Any]:
    with lapwing.load(directory) as model:
        store = store_of(model)
        return {"store": store.nbytes, "path": str(store.path)}


def step_pack(tiny: str, directory: str) -> dict[str, Any]:
    """What making a store takes at its highest: the source's pages, and planes."""
    warm_up(tiny)
    before = settled()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    with lapwing.load(directory) as model:
        peak = counter("VmHWM") - before
        return {"peak": peak, "largest": max(p.tensor.nbytes for p in model.parameters)}


def step_grow(tiny: str, directory: str, dtype: str) -> dict[str, Any]:
    """Private memory and mapped pages, after 100 tokens."""
    warm_up(tiny)
    resident, before = settled(), counter("RssAnon")
    with lapwing.load(directory, dtype, load="mapped") as model:
        loaded = settled() - resident
        private_loaded = counter("RssAnon") - before
        model.generate(IDS, max_tokens=100, ignore_eos=True)
        maps, store = smaps(store_of(model).path), store_of(model)
        result = {
            "load": model.load,
            "resident_loaded": loaded,
            "private_loaded": private_loaded,
            "private": counter("RssAnon") - before,
            "store": store.nbytes,
            "rss": {area: maps[area_offset(store, area)]["Rss"] for area in ("base", "refine")},
        }
    time.sleep(0.05)
    return {**result, "private_closed": counter("RssAnon") - before}


def step_cold(directory: str) -> dict[str, Any]:
    """int4 tokens after the system has forgotten the file: how much of each area came back."""
    with lapwing.load(directory, "int4", load="mapped") as model:
        path = store_of(model).path
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    with lapwing.load(directory, "int4", load="mapped") as model:
        store = store_of(model)
        before = in_core(store, "refine")
        model.generate(IDS, max_tokens=100, ignore_eos=True)
        return {
            "refine_before": before,
            "base": in_core(store, "base"),
            "refine": in_core(store, "refine"),
        }


def in_core(store: StoreFile, area: str) -> float:
    """Share of an area's pages that the system has in memory (mincore)."""
    array = np.frombuffer(store._map(area), np.uint8)
    pages = -(-len(array) // 4096)
    seen = (ctypes.c_ubyte * pages)()
    address = ctypes.c_void_p(array.ctypes.data)
    assert ctypes.CDLL(None).mincore(address, ctypes.c_size_t(len(array)), seen) == 0
    return sum(byte & 1 for byte in seen) / pages


def step_share(directory: str) -> dict[str, Any]:
    """Touches everything, waits until told, and says how much of it counts as this process's."""
    with lapwing.load(directory, load="mapped") as model:
        model.generate(IDS, max_tokens=2, ignore_eos=True)
        print("ready", flush=True)
        sys.stdin.readline()
        maps = smaps(store_of(model).path).values()
        result = {name: sum(each[name] for each in maps) for name in ("Rss", "Pss")}
        print(json.dumps(result), flush=True)
        sys.stdin.readline()
    return {}


def step_requests(tiny: str) -> dict[str, Any]:
    """A thousand requests, then a close."""
    with lapwing.load(tiny, load="mapped") as model:
        model.generate([1, 2], max_tokens=2, ignore_eos=True)

    with lapwing.load(tiny, load="mapped") as model:

        def requests(count: int) -> None:
            for seed in range(count):
                model.generate([1, 2, 3], max_tokens=3, temperature=1.0, seed=seed, ignore_eos=True)

        requests(200)
        looked(model)
        before = settled()
        requests(1000)
        grown = settled() - before
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    mappings = len(smaps(store_of(model).path))
    return {"grown": grown, "open_files": open_files, "mappings": mappings}


# Tests.


def test_a_store_is_made_a_tensor_at_a_time(
    cache: Path, big: Path, tiny: Path, tmp_path: Path
) -> None:
    """Not in memory as a whole: that would be 216 MB on top of the largest tensor."""
    found = measured(tmp_path, "pack", tiny, big)
    assert found["peak"] < 1.5 * found["largest"]


def test_private_memory_and_the_refine_area(cache: Path, big: Path, tiny: Path) -> None:
    found = measured(cache, "grow", tiny, big, "int4")
    assert found["load"] == "mapped"
    assert found["resident_loaded"] < 0.05 * found["store"]  # what is not touched costs nothing
    assert found["private_loaded"] < 0.01 * found["store"]
    assert found["private"] < 0.05 * found["store"]
    assert found["rss"]["refine"] == 0
    assert found["rss"]["base"] > 80 * MB
    assert found["private_closed"] < 4 * MB


def test_int8_reads_both_areas_and_stays_shared(cache: Path, big: Path, tiny: Path) -> None:
    found = measured(cache, "grow", tiny, big, "int8")
    assert found["private"] < 0.05 * found["store"]
    assert found["rss"]["refine"] > 70 * MB


def test_what_is_not_read_stays_on_the_disk(cache: Path, big: Path) -> None:
    found = measured(cache, "cold", big)
    if found["refine_before"] > 0.01:
        pytest.skip("this file system keeps its pages (tmpfs?)")
    assert found["base"] > 0.9
    assert found["refine"] <= 0.01


def test_two_processes_share_pages(cache: Path, big: Path) -> None:
    processes = [begun(cache, "share", big) for _ in range(2)]
    results = []
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            results.append(json.loads(process.stdout.readline()))  # type: ignore[union-attr]
    finally:
        for process in processes:
            process.communicate("\n", timeout=60)
    for found in results:
        assert found["Rss"] > 180 * MB
        assert 0.45 * found["Rss"] < found["Pss"] < 0.6 * found["Rss"]


def test_a_thousand_requests_and_a_close(cache: Path, tiny: Path) -> None:
    found = measured(cache, "requests", tiny)
    assert found["grown"] <= MB
    assert found["mappings"] == 0
    assert found["open_files"] <= 8


if __name__ == "__main__":
    steps = {
        "make": step_make,
        "pack": step_pack,
        "grow": step_grow,
        "cold": step_cold,
        "share": step_share,
        "requests": step_requests,
    }
    print(json.dumps(steps[sys.argv[1]](*sys.argv[2:])))
