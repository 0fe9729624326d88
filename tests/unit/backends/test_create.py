"""Which backend, instruction set and thread count are chosen, and what is refused."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from loading import needs_core

from lapwing import BackendError, RequestError, backends
from lapwing.backends import machine, topology


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAPWING_BACKEND", "LAPWING_ISA", "LAPWING_THREADS"):
        monkeypatch.delenv(name, raising=False)


@needs_core
def test_auto_is_the_best() -> None:
    backend = backends.create()
    assert (backend.name, backend.isa) == ("cpu", backends.available_isas()[0])
    assert backend.threads == backend.prefill_threads == topology.read().default
    assert backends.create(threads="measure").threads == backend.threads
    assert backends.available_isas()[-1] == "generic"


@needs_core
def test_the_environment_decides_what_the_call_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPWING_ISA", "generic")
    monkeypatch.setenv("LAPWING_THREADS", "3")
    backend = backends.create()
    assert (backend.isa, backend.threads) == ("generic", 3)
    assert backends.create(threads=2).threads == 2
    monkeypatch.setenv("LAPWING_BACKEND", "reference")
    assert backends.create().name == "reference"
    assert backends.create("cpu").name == "cpu"


def test_without_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "available", lambda: ("reference",))
    assert backends.create().name == "reference"
    assert backends.available_isas() == ()
    with pytest.raises(BackendError, match=r"without its compiled core. Install a C\+\+20"):
        backends.create("cpu")


@needs_core
def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="expected one of auto, cpu, reference; got 'gpu'"):
        backends.create("gpu")
    with pytest.raises(BackendError, match=r"'avx9' is not available here; choose from: .*generic"):
        backends.create("cpu", 1, "avx9")
    monkeypatch.setenv("LAPWING_BACKEND", "torch")
    with pytest.raises(BackendError, match="'torch'"):
        backends.create()


@pytest.mark.parametrize("threads", [0, -1, 1025, "many", "", True, 1.5, None, [2]])
def test_thread_counts_that_are_none(threads: Any) -> None:
    with pytest.raises(RequestError) as caught:
        backends.create(threads=threads)
    message = f"threads: expected auto, measure or a number from 1 to 1024; got {threads!r}"
    assert str(caught.value) == message


@pytest.mark.parametrize("threads", [1, "2", np.int64(3)])
def test_thread_counts(threads: Any) -> None:
    assert backends.create(threads=threads).threads == int(threads)


def test_facts_of_this_machine() -> None:
    here = topology.read()
    assert 1 <= here.default <= here.physical <= here.usable <= (os.cpu_count() or 1)
    resident, peak = machine.resident_bytes(), machine.peak_resident_bytes()
    if resident is not None and peak is not None:
        assert 1 << 20 < resident <= peak
