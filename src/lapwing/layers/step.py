"""One pass through a model: whose tokens, at which positions, at which precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lapwing.backends.base import Ids, KVStore
from lapwing.layers.kv_cache import KVCache


@dataclass(frozen=True)
class Step:
    """T new tokens of several sequences, packed end to end; sequence i has lengths[i] of them."""

    ids: Ids  # [T]
    positions: Ids  # [T]
    lengths: Sequence[int]
    caches: Sequence[KVCache]
    stores: Sequence[KVStore]  # of the caches
    precision: str

    @classmethod
    def of(cls, pieces: Sequence[Sequence[int]], caches: Sequence[KVCache], precision: str) -> Step:
        """Each piece continues its cache."""
        return cls(
            ids=np.concatenate([np.asarray(piece, np.int64) for piece in pieces]),
            positions=np.concatenate(
                [
                    np.arange(cache.length, cache.length + len(piece), dtype=np.int64)
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
