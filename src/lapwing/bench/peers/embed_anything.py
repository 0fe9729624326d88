"""EmbedAnything, on candle: float32 from the checkpoint's own files.

It takes texts and no token ids, so its times have its tokenizer's in them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from lapwing.bench.peers.base import (
    Facts,
    Family,
    Floats,
    Ids,
    Peer,
    Quantization,
    Runner,
    Target,
    Unavailable,
)

REVISION = "local"


class EmbedAnything(Peer):
    """Loads from the hub's cache alone: the checkpoint is linked into one of its own."""

    name = "embed-anything"
    module, package = "embed_anything", "embed_anything"
    kinds = ("embed",)
    families = ("bert",)

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return (Quantization("f32", "f32"),)

    def export(self, target: Target, quantization: str) -> None:
        if not (target.directory / "tokenizer.json").exists():
            raise Unavailable("it takes texts, no token ids, and this model has no tokenizer")
        model = target.exports / "hub" / "hub" / f"models--local--{target.name}"
        snapshot = model / "snapshots" / REVISION
        for folder in (model / "refs", snapshot):
            folder.mkdir(parents=True, exist_ok=True)
        (model / "refs" / "main").write_text(REVISION)
        for path in target.directory.iterdir():
            if not (snapshot / path.name).exists():
                (snapshot / path.name).symlink_to(path.resolve())

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        os.environ["HF_HOME"] = str(target.exports / "hub")
        import embed_anything
        from tokenizers import Tokenizer

        model = embed_anything.EmbeddingModel.from_pretrained_hf(
            model_id=f"local/{target.name}", pooling=embed_anything.Pooling.Mean
        )
        tokenizer = Tokenizer.from_file(str(target.directory / "tokenizer.json"))
        facts = Facts(32.0, None, "file", 4, note="texts in, tokenized by it")
        return EmbedAnythingRunner(embed_anything, model, tokenizer, facts)


class EmbedAnythingRunner(Runner):
    """All texts in one call."""

    def __init__(self, module: Any, model: Any, tokenizer: Any, facts: Facts) -> None:
        self._module, self._model, self._tokenizer = module, model, tokenizer
        self.facts = facts
        self._texts: dict[Ids, str] = {}

    def embed(self, sequences: Sequence[Ids]) -> Floats:
        texts = [self._text(tuple(ids)) for ids in sequences]
        found = self._module.embed_query(texts, embedder=self._model)
        vectors = np.array([each.embedding for each in found], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _text(self, ids: tuple[int, ...]) -> str:
        """Spelled once, before the clock starts: a workload is run before it is timed."""
        if ids not in self._texts:
            self._texts[ids] = self._tokenizer.decode(list(ids))
        return self._texts[ids]


PEER = EmbedAnything()
