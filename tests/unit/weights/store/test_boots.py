"""A store from before the system was started anew is read through once, and trusted after that."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from stores import flip, store_in
from tiny import write_gpt2

import lapwing
from lapwing import WeightsError
from lapwing.engine import making
from lapwing.weights.store import shelf
from lapwing.weights.store.file import StoreFile

SMALL = {"n_embd": 32, "n_head": 2, "n_layer": 1, "vocab_size": 64}
PIECE = "base/transformer.h.0.mlp.c_fc.weight"
IDS = [3, 1, 4, 1, 5, 9]
LOADS = ("auto", "mapped", "lazy", "progressive", "eager")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_gpt2(tmp_path / "model", seed=1, **SMALL)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stores that were read through, one after the other."""
    found: list[Path] = []
    damaged = StoreFile.damaged

    def counted(store: StoreFile) -> list[str]:
        found.append(store.path)
        return damaged(store)

    monkeypatch.setattr(StoreFile, "damaged", counted)
    return found


def logits(name: Path, **arguments: Any) -> NDArray[np.float32]:
    with lapwing.load(name, threads=1, **arguments) as model:
        return model.forward(IDS)


def restart(monkeypatch: pytest.MonkeyPatch, boot: str | None = "another") -> None:
    for module in (shelf, sys.modules["lapwing.engine.pack"]):  # not the function of that name
        monkeypatch.setattr(module, "boot_id", lambda: boot)


def damage(path: Path) -> None:
    store = StoreFile(path)
    at = store.tensors[PIECE].begin
    store.close()
    flip(path, at, 2)


def no_packing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise AssertionError("packed")

    monkeypatch.setattr(making, "pack", fail)


@pytest.mark.parametrize("load", LOADS)
def test_it_is_read_through_once(
    load: str, directory: Path, cache: Path, readings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    want = logits(directory)
    assert readings == []  # it was written since the last start
    restart(monkeypatch)
    no_packing(monkeypatch)
    for _ in range(3):
        assert np.array_equal(logits(directory, load=load), want)
    assert readings == [store_in(cache)]
    restart(monkeypatch, "a third")  # found whole once: the bytes are on the disk
    logits(directory, load=load)
    assert readings == [store_in(cache)]


def test_alone_it_is_read_through_once_too(
    directory: Path, cache: Path, readings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    want = logits(directory)
    restart(monkeypatch)
    shutil.rmtree(directory)
    for name in (directory, store_in(cache), directory):
        assert np.array_equal(logits(name, load="mapped"), want)
    assert readings == [store_in(cache)]


def test_a_damaged_one_is_made_anew(
    directory: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    want = logits(directory)
    damage(store_in(cache))
    restart(monkeypatch)
    with caplog.at_level(logging.WARNING, "lapwing"):
        assert np.array_equal(logits(directory, load="mapped"), want)
    (record,) = caplog.records
    for words in (str(store_in(cache)), repr(PIECE), "made anew"):
        assert words in record.getMessage()
    store = StoreFile(store_in(cache))
    assert store.damaged() == []
    assert store.contents.boot == "another"
    store.close()
    caplog.clear()
    no_packing(monkeypatch)
    assert np.array_equal(logits(directory, load="mapped"), want)
    assert caplog.records == []


@pytest.mark.parametrize("load", LOADS)
def test_a_damaged_one_alone_is_refused(
    load: str, directory: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits(directory)
    path = store_in(cache)
    damage(path)
    restart(monkeypatch)
    shutil.rmtree(directory)
    for name in (directory, path):
        with pytest.raises(WeightsError) as caught:
            logits(name, load=load)
        assert str(path) in str(caught.value)
        assert repr(PIECE) in str(caught.value)


def test_the_mark_is_of_one_file(
    directory: Path, cache: Path, readings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another store in its place, even from before the start, is read through itself."""
    logits(directory)
    path = store_in(cache)
    restart(monkeypatch, "second")
    logits(directory)
    assert len(readings) == 1
    config = directory / "config.json"
    config.write_text(config.read_text() + "\n")
    logits(directory)  # made anew, in this start
    assert len(readings) == 1
    restart(monkeypatch, "third")
    logits(directory)
    assert readings == [path, path]
    shelf.mark(path).write_bytes(b"\xff\xfe nonsense")
    logits(directory)
    assert len(readings) == 3
    logits(directory)
    assert len(readings) == 3


def test_a_folder_that_takes_no_mark(
    directory: Path, cache: Path, readings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read through at every load then, once: slower, and as safe."""
    want = logits(directory)
    restart(monkeypatch)
    no_packing(monkeypatch)
    shelf.mark(store_in(cache)).mkdir()  # in the way of whoever writes, root too
    for count in (1, 2):
        assert np.array_equal(logits(directory, load="mapped"), want)
        assert len(readings) == count


@pytest.mark.parametrize("known", ["writer", "reader"])
def test_a_system_that_cannot_tell_its_starts(
    known: str,
    directory: Path,
    cache: Path,
    readings: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restart(monkeypatch, "this" if known == "writer" else None)
    logits(directory)
    restart(monkeypatch, "another" if known == "reader" else None)
    logits(directory)
    assert readings == []


def test_this_system_can() -> None:
    found = shelf.boot_id()
    assert found is None or len(found) == 36
    assert found == shelf.boot_id()
