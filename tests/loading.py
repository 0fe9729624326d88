"""Tiny models, each written and loaded once; conftest.py makes fixtures of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tiny import SHAPES, Dtype, write_gpt2

import lapwing
from lapwing import backends
from lapwing.weights.hub import bundled_models

needs_core = pytest.mark.skipif(
    "cpu" not in backends.available(), reason="this installation has no compiled core"
)


class TinyModels:
    """Checkpoints below one directory, and models loaded from them; nobody writes to either."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: dict[str, Path] = {}
        self._loaded: dict[str, lapwing.Model] = {}

    def directory(
        self,
        shape: str = "base",
        file_dtype: Dtype | None = None,
        *,
        seed: int = 1,
        text: bool = False,
        **other: Any,
    ) -> Path:
        """A checkpoint of `tiny.SHAPES`; `text` gives it the bundled tokenizer and vocabulary."""
        options = {**SHAPES[shape], **({"vocab_size": 2048} if text else {}), **other}
        if file_dtype is not None:
            options["dtype"] = file_dtype
        key = repr((seed, text, sorted(options.items())))
        if key not in self._written:
            path = self._directory / f"{shape}-{len(self._written)}"
            self._written[key] = write_gpt2(path, seed=seed, **options)
            if text:
                shutil.copy(bundled_models()["tales"] / "tokenizer.json", path)
        return self._written[key]

    def load(
        self,
        shape: str = "base",
        dtype: str = "int8",
        *,
        backend: str = "auto",
        isa: str = "auto",
        threads: int = 1,
        **checkpoint: Any,
    ) -> lapwing.Model:
        """The checkpoint loaded; `checkpoint` are arguments of `directory`."""
        directory = self.directory(shape, **checkpoint)
        key = repr((directory, dtype, backend, isa, threads))
        if key not in self._loaded:
            # Named in full, so that the environment of the tests cannot change what is meant.
            names = backends.available() if backend == "auto" else (backend,)
            isas = backends.available_isas() or ("numpy",)
            chosen = {
                "LAPWING_BACKEND": names[0],
                "LAPWING_ISA": isas[0] if isa == "auto" else isa,
            }
            with mock.patch.dict(os.environ, chosen):
                self._loaded[key] = lapwing.load(directory, dtype=dtype, threads=threads)
        return self._loaded[key]

    def close(self) -> None:
        """Of every loaded model."""
        for model in self._loaded.values():
            model.close()
