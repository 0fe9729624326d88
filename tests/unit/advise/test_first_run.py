"""What is remembered between runs, and every way in which that can go wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lapwing.advise import first_run
from lapwing.advise.slowdown import Measurements
from lapwing.weights.cache_folder import cache_folder

MEASURED = Measurements(600.0, 4.0, None, 4_000_000)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "deep" / "lapwing"
    monkeypatch.setenv("LAPWING_CACHE", str(folder))
    monkeypatch.setattr("lapwing.advise.probe.measure", lambda *a, **k: MEASURED)
    return folder


def test_measured_once_and_recalled(folder: Path) -> None:
    assert first_run.recall("a") is None
    assert first_run.measure_and_remember("a", 1, "auto", bandwidth=False) == MEASURED
    assert first_run.recall("a") == MEASURED
    assert first_run.recall("b") is None
    first_run.measure_and_remember("b", 1, "auto", bandwidth=False)
    assert first_run.recall("a") == first_run.recall("b") == MEASURED
    assert [path.name for path in folder.iterdir()] == [first_run.FILE]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a": 1}', '{"a": {"compiled_tps": 1}}', "\ud800", None]
)
def test_a_damaged_note_is_no_note(folder: Path, text: str | None) -> None:
    folder.mkdir(parents=True)
    file = folder / first_run.FILE
    if text is None:
        values = dict.fromkeys(Measurements.__dataclass_fields__, "fast")
        text = json.dumps({"a": values})
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert first_run.recall("a") is None
    assert first_run.measure_and_remember("a", 1, "auto", bandwidth=False) == MEASURED
    assert first_run.recall("a") == MEASURED


def test_nothing_is_measured_that_cannot_be_remembered(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    assert first_run.measure_and_remember("a", 1, "auto", bandwidth=False) is None
    assert first_run.recall("a") is None


def test_another_version_backend_or_installation_measures_anew() -> None:
    keys = {
        first_run.key("cpu", "avx2", ("cpu", "reference")),
        first_run.key("cpu", "generic", ("cpu", "reference")),
        first_run.key("reference", "numpy", ("cpu", "reference")),
        first_run.key("reference", "numpy", ("reference",)),
    }
    assert len(keys) == 4


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAPWING_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("LAPWING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lapwing"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative, so ignored")
    assert cache_folder() == tmp_path / "home" / ".cache" / "lapwing"
