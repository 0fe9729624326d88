"""A model as what predicts the next token, in pieces that fit the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from lapwing.bench.quality.distance import Floats
from lapwing.engine.model import Model

# Of one piece of logits in float64: a few of them are alive at once.
PIECE_BYTES = 8 << 20
FEWEST_ROWS, MOST_ROWS = 8, 256


class Predictor(Protocol):
    """Next-token logits."""

    def __call__(self, ids: Sequence[int], first: int) -> Iterator[Floats]:
        """Logits that predict ids[first:], each from all before it: pieces [T, V], T as rows_of."""
        ...


def rows_of(vocab_size: int) -> int:
    """Positions of a piece."""
    return max(FEWEST_ROWS, min(MOST_ROWS, PIECE_BYTES // (8 * vocab_size)))


class ModelPredictor:
    """A loaded model at one of its precisions."""

    def __init__(self, model: Model, dtype: str) -> None:
        self.model, self.dtype = model, dtype
        self._rows = rows_of(model.config.vocab_size)

    def __call__(self, ids: Sequence[int], first: int) -> Iterator[Floats]:
        """See Predictor. One cache a window: how it is cut into passes changes no bit."""
        cache = self.model.kv_cache(len(ids) - 1)
        if first > 1:
            self.model.forward_with_kv_cache(
                ids[: first - 1], cache, dtype=self.dtype, last_only=True
            )
        for begin in range(first - 1, len(ids) - 1, self._rows):
            piece = ids[begin : min(begin + self._rows, len(ids) - 1)]
            yield self.model.forward_with_kv_cache(piece, cache, dtype=self.dtype)[0]
