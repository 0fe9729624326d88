"""Fixtures that many tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from loading import TinyEncoders, TinyModels

from lapwing.backends import topology


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What loading keeps goes here, not to the home of whoever tests; threads are not measured."""
    folder = tmp_path_factory.mktemp("cache")
    threads = str(topology.read().default)
    with mock.patch.dict(os.environ, {"LAPWING_CACHE": str(folder), "LAPWING_THREADS": threads}):
        yield folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, for a test that looks at what is in it."""
    monkeypatch.setenv("LAPWING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyModels]:
    """Random GPT-2s: `tiny_models.directory("odd")`, `tiny_models.load("odd", "int4")`."""
    models = TinyModels(tmp_path_factory.mktemp("tiny"))
    yield models
    models.close()


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyEncoders]:
    """Random encoders: `tiny_encoders.load("bert_mlm", "int4")`."""
    models = TinyEncoders(tmp_path_factory.mktemp("encoders"))
    yield models
    models.close()
