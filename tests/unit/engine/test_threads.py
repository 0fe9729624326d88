"""Numbers of threads: measured once, kept, and measured anew where anything is another."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loading import TinyModels, needs_core

import lapwing
from lapwing import backends
from lapwing.backends import machine, topology
from lapwing.backends.topology import Topology
from lapwing.engine import threads
from lapwing.engine.threads import Measured, chosen, fewest, known

HERE = Topology(((0,), (1,), (2,), (3,)), 4)
FOUND = Measured({1: 4.0, 2: 2.0, 4: 2.0}, {1: 4.0, 2: 2.0, 4: 1.0})


class Counting:
    """Stands in for the measurement."""

    def __init__(self, found: Measured = FOUND) -> None:
        self.found, self.calls = found, 0

    def __call__(self, isa: str, candidates: Sequence[int]) -> Measured:
        self.calls += 1
        return self.found


@pytest.fixture
def measure() -> Counting:
    return Counting()


def test_measured_once(cache: Path, measure: Counting, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lapwing.engine"):
        assert known("avx2", HERE) is None
        for _ in range(3):
            assert chosen("avx2", HERE, measure=measure) == known("avx2", HERE) == FOUND
    assert measure.calls == 1
    assert [path.name for path in cache.iterdir()] == [threads.FILE]
    assert [record.getMessage() for record in caplog.records] == [
        "threads: 2 in decode, 4 in prefill, measured (decode 1: 4e+03 ms, 2: 2e+03 ms, "
        "4: 2e+03 ms; prefill 1: 4e+03 ms, 2: 2e+03 ms, 4: 1e+03 ms)"
    ]


def test_measured_anew_on_demand(cache: Path, measure: Counting) -> None:
    chosen("avx2", HERE, measure=measure)
    other = Counting(Measured(dict.fromkeys(HERE.candidates, 1.0), FOUND.prefill_s))
    assert chosen("avx2", HERE, anew=True, measure=other) == known("avx2", HERE) == other.found
    assert other.calls == 1


def test_one_candidate_needs_no_measurement(cache: Path, measure: Counting) -> None:
    assert chosen("avx2", Topology(((0,),), 1), measure=measure) is None
    assert chosen("avx2", Topology(((0,), (1,)), 2, quota=1), anew=True, measure=measure) is None
    assert measure.calls == 0
    assert not cache.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("machine.cpu_name", "another processor"),
        ("power_source", "another source"),
        ("backends.core_build", "another build"),
    ],
)
def test_another_machine(
    cache: Path, measure: Counting, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    chosen("avx2", HERE, measure=measure)
    with monkeypatch.context() as patched:
        patched.setattr(f"lapwing.engine.threads.{name}", lambda *_: value)
        assert known("avx2", HERE) is None
        chosen("avx2", HERE, measure=measure)
    assert measure.calls == 2
    assert known("avx2", HERE) == FOUND, "what was kept before stays"


def test_other_cpus_quota_or_isa(cache: Path, measure: Counting) -> None:
    chosen("avx2", HERE, measure=measure)
    assert known("generic", HERE) is None
    assert known("avx2", Topology(HERE.cores, 4, quota=3)) is None
    assert known("avx2", Topology(((0,), (1,), (2,), (4,)), 4)) is None


NOTE = {"decode_s": {"1": 1, "2": 1, "4": 1}, "prefill_s": {"1": 1, "2": 1, "4": 1}}


@pytest.mark.parametrize(
    "note",
    [
        None,
        [],
        {},
        {**NOTE, "decode_s": {}},
        {**NOTE, "decode_s": None},
        {**NOTE, "decode_s": {"1": 1, "2": 1}},
        {**NOTE, "decode_s": {"1": 1, "2": 1, "8": 1}},
        {**NOTE, "decode_s": {"1": 1, "2": 1, "four": 1}},
        {**NOTE, "prefill_s": {"1": 1, "2": 1, "4": 0}},
        {**NOTE, "prefill_s": {"1": 1, "2": 1, "4": float("nan")}},
        {**NOTE, "prefill_s": {"1": 1, "2": 1, "4": 10**400}},
    ],
)
def test_a_damaged_note_is_measured_anew(cache: Path, measure: Counting, note: object) -> None:
    cache.mkdir()
    (cache / threads.FILE).write_text(json.dumps({threads.key("avx2", HERE): note}))
    assert chosen("avx2", HERE, measure=measure) == known("avx2", HERE) == FOUND


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_replaced(cache: Path, measure: Counting, content: bytes) -> None:
    cache.mkdir()
    (cache / threads.FILE).write_bytes(content)
    assert chosen("avx2", HERE, measure=measure) == known("avx2", HERE) == FOUND


def test_what_cannot_be_kept_is_not_measured(cache: Path, measure: Counting) -> None:
    cache.write_text("a file where the folder should be")
    assert chosen("avx2", HERE, measure=measure) is None
    assert measure.calls == 0
    assert chosen("avx2", HERE, anew=True, measure=measure) == FOUND, "unless asked for"


def test_models_loaded_at_once_measure_once(cache: Path, measure: Counting) -> None:
    """Two processes that write at once: tests/unit/weights/test_notes.py."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: chosen("avx2", HERE, measure=measure), range(32)))
    assert found == [FOUND] * 32
    assert measure.calls == 1


def test_a_tie_takes_fewer() -> None:
    assert fewest({1: 2.0, 2: 1.02, 4: 1.0, 8: 1.0}) == 2
    assert fewest({1: 2.0, 2: 1.04, 4: 1.0, 8: 1.1}) == 4


@given(st.dictionaries(st.integers(1, 64), st.floats(1e-6, 1e3), min_size=1))
def test_fewest(best_s: dict[int, float]) -> None:
    n = fewest(best_s)
    assert best_s[n] <= threads.TOLERANCE * min(best_s.values())
    assert all(s > threads.TOLERANCE * min(best_s.values()) for m, s in best_s.items() if m < n)


@needs_core
def test_a_measurement_is_bounded() -> None:
    """Rounds go on while there is time, and every candidate has a turn where there is none."""
    moments = iter(range(10_000))
    isa = backends.available_isas()[0]
    found = threads.measure_passes(isa, (1, 2), budget_s=0, clock=lambda: float(next(moments)))
    assert found == Measured({1: 1.0, 2: 1.0}, {1: 1.0, 2: 1.0})
    assert next(moments) == 1 + 8 + 1
    threads.measure_passes(isa, (1, 2), budget_s=12, clock=lambda: float(next(moments)))
    assert next(moments) == 11 + 1 + 2 * (8 + 1)


@needs_core
def test_loading(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tiny_models: TinyModels, measure: Counting
) -> None:
    """auto is as measured; a number, from whoever, is that number."""
    monkeypatch.setenv("LAPWING_BACKEND", "cpu")
    monkeypatch.setattr(topology, "read", lambda: HERE)
    monkeypatch.setattr(threads, "measure_passes", measure)
    directory = tiny_models.directory("base")

    def counts(wanted: int | str) -> tuple[int, int]:
        with lapwing.load(directory, threads=wanted, store=False) as model:
            return model.threads, model.prefill_threads

    monkeypatch.setenv("LAPWING_THREADS", "3")
    assert counts("auto") == (3, 3)
    monkeypatch.delenv("LAPWING_THREADS")
    assert counts(2) == (2, 2)
    assert measure.calls == 0
    assert counts("auto") == counts("auto") == (2, 4)
    assert measure.calls == 1
    assert counts("measure") == (2, 4)
    assert measure.calls == 2
    monkeypatch.setenv("LAPWING_BACKEND", "reference")
    assert counts("measure") == (4, 4)
    assert measure.calls == 2


@needs_core
def test_a_look_measures_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, measure: Counting
) -> None:
    monkeypatch.delenv("LAPWING_THREADS")
    monkeypatch.setattr(topology, "read", lambda: HERE)
    monkeypatch.setattr(threads, "measure_passes", measure)
    backend = threads.create_backend(may_measure=False)
    assert (backend.threads, backend.prefill_threads, measure.calls) == (4, 4, 0)
    threads.create_backend()
    backend = threads.create_backend(may_measure=False)
    if backend.name == "cpu":
        assert (backend.threads, backend.prefill_threads) == (2, 4)


def test_the_key_names_this_machine() -> None:
    name = threads.key("avx2", HERE)
    assert (machine.cpu_name() or "unknown") in name
    assert " | CPUs 0-3 | quota none | avx2 | " in name


def test_what_was_measured_beside_busy_processes_is_not_kept(
    cache: Path, measure: Counting
) -> None:
    def busy() -> float:
        return 0.5

    for tries in range(1, threads.BUSY_TRIES):
        assert chosen("avx2", HERE, measure=measure, others=busy) is None
        assert known("avx2", HERE) is None
        assert measure.calls == tries
    # A machine that is busy at every start: what is found there holds.
    assert chosen("avx2", HERE, measure=measure, others=busy) == known("avx2", HERE) == FOUND
    chosen("avx2", HERE, measure=measure, others=busy)
    assert measure.calls == threads.BUSY_TRIES


def test_a_quiet_start_after_a_busy_one(cache: Path, measure: Counting) -> None:
    assert chosen("avx2", HERE, measure=measure, others=lambda: 0.5) is None
    assert chosen("avx2", HERE, measure=measure, others=lambda: 0.01) == FOUND
    assert known("avx2", HERE) == FOUND
    other = Counting(Measured(dict.fromkeys(HERE.candidates, 1.0), FOUND.prefill_s))
    found = chosen("avx2", HERE, anew=True, measure=other, others=lambda: 0.5)
    assert found == known("avx2", HERE) == other.found  # who asks for it gets it
