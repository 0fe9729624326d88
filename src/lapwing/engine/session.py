"""One timeline of a model: a sequence of tokens and the cache that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lapwing.backends.base import Floats
from lapwing.layers.kv_cache import KVCache
from lapwing.layers.step import Step
from lapwing.models.base import LanguageModel

# Tokens of one pass: bounds the memory of activations and the time between two chances to stop.
CHUNK_TOKENS = 256


@dataclass
class Session:
    """Mutable, owned by one thread; the model behind it is shared."""

    model: LanguageModel
    cache: KVCache

    def feed(self, ids: Sequence[int], precision: str) -> Floats:
        """Appends `ids` (at least one) → logits [V] of the last."""
        return run(self.model, [ids], [self.cache], precision, last_only=True)[0][0]

    def prefill(self, ids: Sequence[int], precision: str) -> Floats:
        """Makes the timeline exactly `ids` → logits [V] of the last; what is cached is reused."""
        return self.feed(self.rewind(ids), precision)

    def rewind(self, ids: Sequence[int]) -> Sequence[int]:
        """Cuts the timeline to what it shares with `ids` → the rest of them, at least one."""
        keep = self.cache.reusable(ids)
        self.cache.truncate(keep)
        return ids[keep:]


def run(
    model: LanguageModel,
    sequences: Sequence[Sequence[int]],
    caches: Sequence[KVCache],
    precision: str,
    *,
    last_only: bool,
) -> list[Floats]:
    """Appends each sequence to its cache → logits of each, [L, V], or [1, V] with `last_only`.

    Works in passes of at most CHUNK_TOKENS, packed over sequences; how they are cut changes no bit.
    """
    rows: list[list[Floats]] = [[] for _ in sequences]
    for group in _passes([len(ids) for ids in sequences]):
        pieces = [sequences[i][begin:end] for i, begin, end in group]
        step = Step.of(pieces, [caches[i] for i, _, _ in group], precision)
        h = model(step)
        ends = np.cumsum(step.lengths)
        if not last_only:
            parts = np.split(model.logits(h, precision), ends[:-1])
            for (i, _, _), part in zip(group, parts, strict=True):
                rows[i].append(part)
            continue
        # The head is the largest matrix: it is read once for all that are complete.
        complete = [at for at, (i, _, end) in enumerate(group) if end == len(sequences[i])]
        if complete:
            logits = model.logits(h[ends[complete] - 1], precision)
            for at, row in zip(complete, logits, strict=True):
                rows[group[at][0]].append(row[np.newaxis])
    return [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in rows]


def run_layers(model: LanguageModel, ids: Sequence[int], precision: str, n_layers: int) -> Floats:
    """One sequence through the first layers → h [L, D]; in passes, on a cache of its own."""
    cache, parts = model.kv_cache(len(ids)), []
    for begin in range(0, len(ids), CHUNK_TOKENS):
        step = Step.of([ids[begin : begin + CHUNK_TOKENS]], [cache], precision)
        parts.append(model.hidden(step, n_layers))
        step.finish()
    return np.concatenate(parts)


def _passes(lengths: Sequence[int]) -> list[list[tuple[int, int, int]]]:
    """Passes of (sequence, begin, end), each of at most CHUNK_TOKENS tokens."""
    passes: list[list[tuple[int, int, int]]] = []
    room = 0
    for i, length in enumerate(lengths):
        begin = 0
        while begin < length:
            if room == 0:
                passes.append([])
                room = CHUNK_TOKENS
            end = min(length, begin + room)
            passes[-1].append((i, begin, end))
            room -= end - begin
            begin = end
    return passes
