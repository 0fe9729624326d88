"""Fixtures of the comparisons with transformers: backends, goldens, the bundled model."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Golden:
    """One pair of files of tools/make_goldens.py."""

    arrays: dict[str, npt.NDArray[Any]]
    facts: dict[str, Any]


@functools.cache
def read_golden(stem: str) -> Golden:
    with np.load(HERE / f"{stem}.npz") as arrays:
        facts = json.loads((HERE / f"{stem}.json").read_text(encoding="utf-8"))
        return Golden(dict(arrays), facts)


@pytest.fixture(params=["cpu", "reference"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every backend this installation has; lapwing.load() reads the variable."""
    from lapwing.backends import available

    name: str = request.param
    if name not in available():
        pytest.skip(f"backend {name} is absent: this installation has no compiled core")
    monkeypatch.setenv("LAPWING_BACKEND", name)
    return name


@pytest.fixture
def gpt2_tiny() -> Golden:
    return read_golden("gpt2_tiny")


@pytest.fixture
def encoders() -> Golden:
    return read_golden("encoders")


@pytest.fixture
def tales() -> Golden:
    return read_golden("tales")


@pytest.fixture(scope="session")
def tales_directory() -> Path:
    """The bundled model, which must be the one the goldens speak of."""
    from lapwing.weights.hub import bundled_models

    directory = bundled_models()["tales"]
    expected = read_golden("tales").facts["sha256"]
    for file, sha256 in expected.items():
        found = hashlib.sha256((directory / file).read_bytes()).hexdigest()
        assert found == sha256, f"{file} changed: run tools/make_goldens.py"
    return directory
