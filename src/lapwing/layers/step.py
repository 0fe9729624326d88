"""One pass through a model: whose tokens, at which positions, at which precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lapwing.backends.base import Ids, KVStore
from lapwing.layers.kv_cache import KVCache


@dataclass(frozen=True)
class Pass:
    """T tokens of several sequences, packed end to end; sequence i has lengths[i] of them."""

    ids: Ids  # [T]
    positions: Ids  # [T]
    lengths: Sequence[int]
    precision: str


@dataclass(frozen=True)
class EncoderPass(Pass):
    """Whole sequences, every token of which sees all of its own."""

    token_types: Ids  # [T]


@dataclass(frozen=True)
class Step(Pass):
    """New tokens of sequences that their caches have begun."""

    caches: Sequence[KVCache]
    stores: Sequence[KVStore]  # of the caches

    @classmethod
    def of(cls, pieces: Sequence[Sequence[int]], caches: Sequence[KVCache], precision: str) -> Step:
        """Each piece continues its cache."""
        return cls(
            ids=packed(pieces),
            positions=packed(
                [
                    range(cache.length, cache.length + len(piece))
                    for piece, cache in zip(pieces, caches, strict=True)
                ]
            ),
            lengths=[len(piece) for piece in pieces],
            caches=caches,
            stores=[cache.store for cache in caches],
            precision=precision,
        )

    def finish(self) -> None:
        """Every layer has run: the caches hold the new tokens."""
        begin = 0
        for cache, length in zip(self.caches, self.lengths, strict=True):
            cache.advance(self.ids[begin : begin + length].tolist())
            begin += length


def packed(sequences: Sequence[Sequence[int]]) -> Ids:
    """Whole numbers of several sequences, end to end."""
    return np.concatenate([np.asarray(sequence, np.int64) for sequence in sequences])
