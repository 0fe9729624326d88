"""Weights that a reader brings in ahead of use: what waits, what does not, and what is reported."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import needs_core
from tiny import write_gpt2

import lapwing
from lapwing.engine import opening
from lapwing.engine.causal import CausalModel
from lapwing.weights.plain_reading import PlainFiles
from lapwing.weights.store.file import StoreFile

LAYERS = 5
IDS = list(range(1, 40))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers of 0.8 MB as base planes; the embedding of 0.3 MB."""
    path = tmp_path_factory.mktemp("progressive")
    write_gpt2(path, seed=1, n_embd=384, n_head=6, n_layer=LAYERS, vocab_size=640)
    lapwing.load(path).close()  # the store is made
    return path


@pytest.fixture(scope="module")
def whole(directory: Path) -> Iterator[CausalModel]:
    with lapwing.load(directory, load="mapped") as model:
        assert isinstance(model, CausalModel)
        yield model


def slow_down(monkeypatch: pytest.MonkeyPatch, bytes_per_s: float) -> None:
    """Every read takes as long as a disk of that speed would."""
    fast = StoreFile.read_at

    def slow(self: StoreFile, offset: int, buffer: memoryview) -> int:
        got = fast(self, offset, buffer[: 64 << 10])
        time.sleep(got / bytes_per_s)
        return got

    monkeypatch.setattr(StoreFile, "read_at", slow)
    monkeypatch.setattr(StoreFile, "read_ahead", lambda self, pieces: None)


def load(directory: Path, dtype: str = "int8", **arguments: Any) -> CausalModel:
    model = lapwing.load(directory, dtype, load="progressive", **arguments)
    assert isinstance(model, CausalModel)
    return model


def test_floats_come_from_the_checkpoint(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """f32 of an f32 file is read in place; the same reader goes ahead, in the order of use."""
    fast = PlainFiles.read_piece

    def slow(self: PlainFiles, piece: str, offset: int, buffer: memoryview) -> int:
        time.sleep(0.001)
        return fast(self, piece, offset, buffer)

    monkeypatch.setattr(PlainFiles, "read_piece", slow)
    monkeypatch.setattr(PlainFiles, "read_ahead", lambda self, pieces: None)
    with lapwing.load(directory, "f32") as model:
        expected = model.forward(IDS)
    with load(directory, "f32") as model:
        assert not model.loading.finished
        np.testing.assert_array_equal(model.forward(IDS), expected)
        model.loading.wait()
        kinds = [event.kind for event in model.loading.events]
    assert kinds.count("used") == kinds.count("read") == len(model.parameters)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_logits_are_those_of_a_mapped_model(
    directory: Path, whole: CausalModel, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch, 30e6)
    with load(directory, dtype) as model:
        assert not model.loading.finished
        logits = model.forward(IDS)
        model.loading.wait()
        assert model.loading.finished
        assert model.loading.done_bytes == model.loading.total_bytes
        assert model.loading.took_s > 0
    np.testing.assert_array_equal(logits, whole.forward(IDS, dtype=dtype))


@needs_core  # NumPy is slower than such a disk
def test_a_layer_computes_while_the_next_is_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch, 100e6)
    with load(directory, "int4") as model:
        model.forward(IDS)
        events = model.loading.events
    for layer in range(LAYERS - 2):
        # A layer's first piece is asked for when the one before it has computed.
        computed = min(e.at_s for e in events if e.kind == "used" and f".h.{layer + 1}." in e.piece)
        read = max(e.at_s for e in events if e.kind == "read" and f".h.{layer + 2}." in e.piece)
        assert computed < read, layer
    order = [e.piece for e in events if e.kind == "read"]
    of_layers = [
        piece.split(".h.")[1] for piece in order if piece.startswith("base/transformer.h.")
    ]
    assert of_layers == sorted(of_layers, key=lambda rest: int(rest.split(".")[0]))
    # The head is used last, and of the embedding a few rows before that.
    last = order.index(f"base/transformer.h.{of_layers[-1]}")
    assert order.index("base/transformer.wte.weight") > last


def test_int4_does_not_wait_for_refine_planes(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with load(directory, "int4") as model:
        model.loading.wait()
        pieces = {e.piece for e in model.loading.events if e.kind == "read"}
        refine = {piece for piece in pieces if piece.startswith("refine/")}
        assert refine == {"refine/transformer.wte.weight"}  # look-ups read it
        assert model.precisions == ("int4",)
        with pytest.raises(lapwing.RequestError, match="serves int4; got int8"):
            model.generate(IDS, max_tokens=1, dtype="int8")


@needs_core
def test_precision_rises_when_refine_planes_are_there(
    directory: Path, whole: CausalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch, 20e6)
    with load(directory, rising=True) as model:
        stream = model.stream(IDS, max_tokens=24, ignore_eos=True)
        tokens = []
        for chunk in stream:
            tokens.append(chunk.token)
            if len(tokens) == 5:
                assert stream.result.precision_switches == []
                assert stream.result.dtype == "int4"
                model.loading.wait()
        result = stream.result
        assert model.generate(IDS, max_tokens=1).precision_switches == []  # from now on it is int8
    (switch,) = result.precision_switches
    assert (switch.token, switch.dtype, result.dtype) == (5, "int8", "int8")
    assert "refine" in switch.reason
    cache, ids, expected = whole.kv_cache(), IDS, []
    for at in range(24):
        dtype = "int4" if at < 5 else "int8"
        logits, _ = whole.forward_with_kv_cache(ids, cache, dtype=dtype, last_only=True)
        ids = [int(logits[0].argmax())]
        expected += ids
    assert result.tokens == expected


def test_a_named_precision_waits(
    directory: Path, whole: CausalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """int8 by name is int8, also while precision rises: passes wait for what they read."""
    slow_down(monkeypatch, 50e6)
    with load(directory, rising=True) as model:
        answer = model.generate(IDS, max_tokens=3, ignore_eos=True, dtype="int8")
    expected = whole.generate(IDS, max_tokens=3, ignore_eos=True, dtype="int8")
    assert answer.tokens == expected.tokens
    assert (answer.dtype, answer.precision_switches) == ("int8", [])


def test_progress_is_told(directory: Path) -> None:
    told: list[tuple[int, int]] = []
    with load(directory, on_progress=lambda done, total: told.append((done, total))) as model:
        model.loading.wait()
        assert told[-1] == (model.loading.total_bytes, model.loading.total_bytes)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_closing_ends_the_reader(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(monkeypatch, 1e6)  # would take seconds
    model = load(directory)
    began_s = time.perf_counter()
    model.close()
    assert time.perf_counter() - began_s < 1
    assert not model.loading.finished
    with pytest.raises(lapwing.RequestError, match="closed"):
        model.generate(IDS, max_tokens=1)


def test_an_interpreter_that_ends_does_not_leave_its_reader_behind(directory: Path) -> None:
    """Back from native code into an ended interpreter, it would abort the process."""
    program = """
import atexit, sys, threading, time
atexit.register(lambda: print(sorted(each.name for each in threading.enumerate())))
import lapwing
lapwing.load(sys.argv[1], load="progressive", on_progress=lambda *_: time.sleep(0.3))
print("lapwing-reader" in {each.name for each in threading.enumerate()})
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["True", "['MainThread']"]


def test_a_reader_that_fails_is_heard(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: StoreFile, offset: int, buffer: memoryview) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(StoreFile, "read_at", broken)
    monkeypatch.setattr(StoreFile, "read_ahead", lambda self, pieces: None)
    with load(directory) as model, pytest.raises(lapwing.WeightsError, match="Input/output error"):
        model.forward(IDS)


@pytest.mark.parametrize("dtype", ["int8", "f32"])
@pytest.mark.parametrize("reading", ["compiled", "python"])
def test_both_readers_read_the_same(
    directory: Path, dtype: str, reading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reading == "python":
        for files in (StoreFile, PlainFiles):
            monkeypatch.setattr(files, "read_ahead", lambda self, pieces: None)
    with load(directory, dtype) as model:
        model.loading.wait()
        assert model.loading.done_bytes == model.loading.total_bytes
        logits = model.forward(IDS)
    with lapwing.load(directory, dtype, load="eager") as model:
        np.testing.assert_array_equal(logits, model.forward(IDS))


@needs_core
def test_an_error_of_the_compiled_reader_is_heard(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        done_bytes = 0

        def wait(self, span: int, at_most_s: float) -> tuple[int, int, int]:
            return 0, 0, 5

        def stop(self) -> None:
            pass

    monkeypatch.setattr(StoreFile, "read_ahead", lambda self, pieces: Broken())
    with load(directory) as model, pytest.raises(lapwing.WeightsError, match="Input/output error"):
        model.forward(IDS)


@pytest.mark.parametrize(
    ("little", "cached", "mode"),
    [(0, 0.0, "progressive"), (0, 0.95, "mapped"), (1 << 30, 0.0, "mapped")],
)
def test_auto_goes_by_what_is_in_memory(
    directory: Path, little: int, cached: float, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "LITTLE_BYTES", little)
    monkeypatch.setattr(StoreFile, "cached_fraction", lambda self, area: cached)
    for dtype in ("int8", "int4"):
        with lapwing.load(directory, dtype) as model:
            assert model.load == mode


def test_rising_needs_int8(directory: Path) -> None:
    with pytest.raises(lapwing.RequestError, match="rising"):
        lapwing.load(directory, "int4", rising=True)
