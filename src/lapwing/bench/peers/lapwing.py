"""Lapwing itself, from its mapped store: a competitor like the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
)

if TYPE_CHECKING:
    from lapwing import Model


class Lapwing(Peer):
    """Every dtype from the one checkpoint; int8 and int4 from the one store."""

    name = "lapwing"
    module = package = "lapwing"
    imports = ("lapwing", "lapwing.engine.load")

    def build(self) -> str | None:
        from lapwing import backends

        return f"isas {', '.join(backends.available_isas())}; build flags: {backends.core_flags()}"

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return tuple(Quantization(dtype, dtype) for dtype in ("int4", "int8", "f16", "f32"))

    def export(self, target: Target, quantization: str) -> None:
        """The store."""
        import lapwing

        lapwing.load(target.directory, dtype=quantization).close()

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        import lapwing

        model = lapwing.load(target.directory, dtype=quantization, threads=threads)
        matrices = [p for p in model.parameters if p.role not in ("norm", "bias")]
        own_memory = model.load == "eager" and not all(p.in_place for p in matrices)
        facts = Facts(
            bits_per_weight=8 * model.estimate_memory_usage() / target.weights,
            bytes_per_token=sum(p.bytes_per_token(quantization) for p in model.parameters),
            mapping="anonymous" if own_memory else "file",
            kv_bytes_each=4 if quantization == "f32" else 2,
            note=f"load {model.load}, {model.isa}, {model.threads} threads",
        )
        kind = LapwingEncoder if target.family == "bert" else LapwingCausal
        return kind(model, quantization, facts)


class LapwingCausal(Runner):
    """Token ids through `forward_with_kv_cache`; several sequences in shared passes."""

    def __init__(self, model: Model, dtype: str, facts: Facts) -> None:
        self.model: Any = model
        self.dtype, self.facts = dtype, facts
        self._caches: list[Any] = []
        self._lengths: list[int] = []

    def start(self, prompts: Sequence[Ids], more: int) -> None:
        self._caches = [self.model.kv_cache(len(prompt) + more) for prompt in prompts]
        self._pass(prompts)
        self._lengths = [cache.length for cache in self._caches]

    def feed(self, tokens: Ids) -> None:
        self._pass([[token] for token in tokens])

    def _pass(self, sequences: Sequence[Ids]) -> None:
        if len(sequences) == 1:
            self.model.forward_with_kv_cache(
                sequences[0], self._caches[0], dtype=self.dtype, last_only=True
            )
        else:
            self.model.forward_with_kv_caches(
                sequences, self._caches, dtype=self.dtype, last_only=True
            )

    def rewind(self) -> None:
        for cache, length in zip(self._caches, self._lengths, strict=True):
            cache.truncate(length)

    def prefill(self, ids: Ids) -> None:
        cache = self.model.kv_cache(len(ids))
        self.model.forward_with_kv_cache(ids, cache, dtype=self.dtype, last_only=True)

    def generate(self, ids: Ids, n_tokens: int) -> list[int]:
        answer = self.model.generate(
            ids, max_tokens=n_tokens, temperature=0, ignore_eos=True, dtype=self.dtype
        )
        return list(answer.tokens)

    def logits(self, ids: Ids) -> Floats:
        return self.model.forward(ids, dtype=self.dtype)

    def close(self) -> None:
        self.model.close()


class LapwingEncoder(Runner):
    """As `embed` after its tokenizer: packed passes and the checkpoint's own pooling."""

    def __init__(self, model: Any, dtype: str, facts: Facts) -> None:
        self.model, self.dtype, self.facts = model, dtype, facts

    def embed(self, sequences: Sequence[Ids]) -> Floats:
        from lapwing.engine.encoding import Sequences, tokens_of_a_pass

        model = self.model
        types = [[0] * len(ids) for ids in sequences]
        packed = Sequences(sequences, types, tokens_of_a_pass(model.config))
        vectors = np.empty((len(sequences), model.embedding_size), np.float32)
        for group, h, step in model._passes.run(packed, self.dtype):
            vectors[group] = model._sentence(h, step, normalize=True)
        return vectors

    def close(self) -> None:
        self.model.close()


PEER = Lapwing()
