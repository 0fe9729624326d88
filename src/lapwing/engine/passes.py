"""Passes of a language model: tokens of several sequences in, logits out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from lapwing.backends.base import Backend, Floats, KVStore
from lapwing.engine.recorded import RecordedPasses
from lapwing.layers.kv_cache import KVCache
from lapwing.layers.step import Step
from lapwing.models.base import LanguageModel
from lapwing.power.pacing.pacer import Pacer

# Tokens of one pass: bounds the memory of activations and the time between two chances to stop.
CHUNK_TOKENS = 256
MOST_VARIANTS = 64  # that are remembered


class Passes:
    """Of one loaded model, by several sessions at once."""

    def __init__(
        self, network: LanguageModel, backend: Backend, pacer: Pacer | None = None
    ) -> None:
        self.network, self._backend = network, backend
        self.pacer = Pacer() if pacer is None else pacer
        self._recorded = RecordedPasses(backend)
        self._variants: dict[tuple[int, ...], Hashable] = {}  # by the capacities of caches

    def forget(self) -> None:
        """Before weights are given up: no pass that was recorded holds on to them."""
        self._recorded.forget()

    def run(
        self,
        sequences: Sequence[Sequence[int]],
        caches: Sequence[KVCache],
        precision: str,
        *,
        last_only: bool,
    ) -> list[Floats]:
        """Appends each sequence to its cache → logits of each, [L, V], or [1, V] with `last_only`.

        Works in passes of at most CHUNK_TOKENS, packed over sequences, with the pacer's pauses
        between them; how they are cut changes no bit.
        """
        lengths = [len(ids) for ids in sequences]
        most = self.pacer.chunk_tokens or CHUNK_TOKENS
        if last_only and 0 < sum(lengths) <= most and all(lengths):
            with self.pacer.piece():
                logits = self._last_logits(sequences, caches, precision)
            if len(logits) == 1:
                return [logits]
            return [logits[at : at + 1] for at in range(len(logits))]
        rows: list[list[Floats]] = [[] for _ in sequences]
        for group in _cut(lengths, most):
            pieces = [sequences[i][begin:end] for i, begin, end in group]
            used = [caches[i] for i, _, _ in group]
            complete = [at for at, (i, _, end) in enumerate(group) if end == len(sequences[i])]
            with self.pacer.piece():
                if last_only:
                    last = self._ends(pieces, used, precision, complete)
                    parts = [] if last is None else np.split(last, len(complete))
                    owners = complete
                else:
                    step = Step.of(pieces, used, precision)
                    logits = self.network.logits(self.network(step), precision)
                    parts = np.split(logits, np.cumsum(step.lengths)[:-1])
                    owners = list(range(len(group)))
            for row, part in zip(owners, parts, strict=False):  # none, where no sequence ends here
                rows[group[row][0]].append(part)
        return [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in rows]

    def _ends(
        self,
        pieces: Sequence[Sequence[int]],
        caches: Sequence[KVCache],
        precision: str,
        complete: Sequence[int],
    ) -> Floats | None:
        """Runs the pieces → logits behind those that complete a sequence; None where none does."""
        if len(complete) == len(pieces):
            return self._last_logits(pieces, caches, precision)
        step = Step.of(pieces, caches, precision)
        h = self.network(step)
        if not complete:
            return None
        ends = np.cumsum(step.lengths)
        return self.network.logits(h[ends[complete] - 1], precision)

    def _last_logits(
        self, pieces: Sequence[Sequence[int]], caches: Sequence[KVCache], precision: str
    ) -> Floats:
        """Logits behind the last token of each piece [B, V]; recorded, where that can be."""
        ids: list[int] = []
        positions: list[int] = []
        lengths: list[int] = []
        stores: list[KVStore] = []
        capacities: list[int] = []
        turns = list(zip(pieces, caches, strict=True))
        for piece, cache in turns:
            store, count = cache.store, len(piece)
            begin = store.length
            ids += piece
            positions += range(begin, begin + count)
            lengths.append(count)
            stores.append(store)
            capacities.append(store.capacity)
        variant = self._variant(tuple(capacities))
        key = (precision, variant)
        if variant is not None:
            logits = self._recorded.again(key, (ids, positions), lengths, stores)
            if logits is not None:
                for piece, cache in turns:
                    cache.advance(piece)
                return logits
        step = Step.of(pieces, caches, precision)

        def run() -> Floats:
            # The head is the largest matrix: it is read once for all, and for the last rows alone.
            last = self._backend.pool(self.network(step), step.lengths, "lasttoken")
            return self.network.logits(last, precision)

        if variant is None:
            return run()
        return self._recorded.record(key, (step.ids, step.positions), step.lengths, run)

    def _variant(self, capacities: tuple[int, ...]) -> Hashable:
        variant = self._variants.get(capacities, self)
        if variant is self:
            variant = self.network.variant(capacities)
            kept = self._variants if len(self._variants) < MOST_VARIANTS else {}
            self._variants = {**kept, capacities: variant}  # replaced whole: threads read it
        return variant

    def run_layers(self, ids: Sequence[int], precision: str, n_layers: int) -> Floats:
        """One sequence through the first layers → h [L, D]; in passes, on a cache of its own."""
        cache, parts = self.network.kv_cache(len(ids)), []
        for begin in range(0, len(ids), CHUNK_TOKENS):
            step = Step.of([ids[begin : begin + CHUNK_TOKENS]], [cache], precision)
            with self.pacer.piece():
                parts.append(self.network.hidden(step, n_layers))
            step.finish()
        return np.concatenate(parts)


def _cut(lengths: Sequence[int], most: int) -> list[list[tuple[int, int, int]]]:
    """Passes of (sequence, begin, end), each of at most so many tokens."""
    passes: list[list[tuple[int, int, int]]] = []
    room = 0
    for i, length in enumerate(lengths):
        begin = 0
        while begin < length:
            if room == 0:
                passes.append([])
                room = most
            end = min(length, begin + room)
            passes[-1].append((i, begin, end))
            room -= end - begin
            begin = end
    return passes
