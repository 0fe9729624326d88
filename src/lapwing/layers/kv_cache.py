"""The KV cache of one sequence: what was computed for its tokens, by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapwing.backends.base import KVStore
from lapwing.errors import RequestError


@dataclass(frozen=True)
class CacheShape:
    """What a model and its cache must agree on; precisions of one model do."""

    backend: str
    layers: int
    kv_heads: int
    head_dim: int
    dtype: str
    windows: tuple[int, ...] = ()  # of each layer: positions a token sees; 0, or none at all: all


class KVCache:
    """Keys and values of every layer for `tokens`, in a store of the backend.

    Room for `capacity` positions is reserved; memory is committed as positions fill.
    """

    def __init__(self, store: KVStore, shape: CacheShape, tokens: Sequence[int] = ()) -> None:
        self.store, self.shape = store, shape
        self.tokens = list(tokens)

    @property
    def length(self) -> int:
        """Positions filled."""
        return self.store.length

    @property
    def capacity(self) -> int:
        """Positions there is room for."""
        return self.store.capacity

    @property
    def nbytes(self) -> int:
        """Bytes of the positions filled."""
        return self.store.nbytes

    def advance(self, ids: Sequence[int]) -> None:
        """A pass has filled the positions of `ids` in every layer."""
        self.store.advance(len(ids))
        self.tokens.extend(ids)

    def truncate(self, length: int) -> None:
        """Gives up every position from `length` on: as if those tokens had never been appended."""
        if not 0 <= length <= self.length:
            raise RequestError(
                f"KV cache: cannot truncate to {length} positions; it holds {self.length}"
            )
        if 0 < length < min(self.store.shortest, self.length):
            raise RequestError(
                f"KV cache: cannot truncate to {length} positions: what the model's windows no "
                f"longer see was given back; {self.store.shortest} or more, or 0, can be"
            )
        self.store.truncate(length)
        del self.tokens[length:]

    def fork(self) -> KVCache:
        """An independent copy: two continuations of one beginning."""
        return KVCache(self.store.fork(), self.shape, self.tokens)

    def reusable(self, ids: Sequence[int]) -> int:
        """How many of the first tokens of `ids`, all but the last at most, need not be run again.

        Truncated to them, the cache goes on with the rest.
        """
        count = min(self.common_prefix(ids), len(ids) - 1)
        return count if count >= min(self.store.shortest, self.length) else 0

    def common_prefix(self, ids: Sequence[int]) -> int:
        """How many of the first tokens of `ids` the cache already holds."""
        count = 0
        for held, wanted in zip(self.tokens, ids, strict=False):
            if held != wanted:
                break
            count += 1
        return count
