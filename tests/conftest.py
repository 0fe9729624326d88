"""Fixtures that many tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loading import TinyEncoders, TinyModels


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
