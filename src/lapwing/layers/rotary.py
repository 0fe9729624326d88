"""Rotary positions: the angles by which heads of queries and keys are turned (arXiv 2104.09864)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lapwing.backends.base import Backend, Floats, Matrix
from lapwing.layers.step import Step

# Angles a position for each pair [half], and a factor on cosine and sine, for sequences that may
# become so long.
Frequencies = Callable[[int], tuple[NDArray[np.float32], float]]

FIRST_ROWS = 256  # positions of a new table; it doubles as it is outgrown
MOST_TABLES = 8  # models whose frequencies depend on the length make one a length


class Rotary:
    """Cosines and sines of all layers that share their frequencies.

    They depend on a token's position and on how long its cache may become, never on how the tokens
    came: prompts in any chunks, and one by one, are turned alike.
    """

    def __init__(self, backend: Backend, frequencies: Frequencies) -> None:
        self._backend, self._frequencies = backend, frequencies
        self._tables: dict[bytes, Matrix] = {}

    def variant(self, capacities: Sequence[int]) -> bytes | None:
        """Names the frequencies of sequences that may become so long; None: not one for all."""
        keys = {self._frequencies(capacity)[0].tobytes() for capacity in set(capacities)}
        return keys.pop() if len(keys) == 1 else None

    def __call__(self, step: Step) -> Floats:
        """Of the step's tokens: [T, 2·half], cosines then sines."""
        capacities = [cache.capacity for cache in step.caches]
        if self.variant(capacities) is not None:
            return self._rows(capacities[0], step.positions)
        borders = np.cumsum(step.lengths)[:-1]
        pieces = np.split(step.positions, borders)
        return np.concatenate([self._rows(*pair) for pair in zip(capacities, pieces, strict=True)])

    def _rows(self, capacity: int, positions: NDArray[np.int64]) -> Floats:
        table = self._table(capacity, int(positions.max()) + 1)
        return self._backend.embed([table], [positions])

    def _table(self, capacity: int, rows: int) -> Matrix:
        """[at least `rows`, 2·half] float32."""
        inv_freq, factor = self._frequencies(capacity)
        key = inv_freq.tobytes()
        table = self._tables.get(key)
        if table is not None and rows <= table.N:
            return table
        size = FIRST_ROWS
        while size < rows:
            size *= 2
        angles = np.arange(size, dtype=np.float32)[:, None] * inv_freq
        turns = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * np.float32(factor)
        table = self._backend.dense(turns.astype(np.float32), "f32", "nk")
        others = {k: t for k, t in self._tables.items() if k != key}
        while len(others) >= MOST_TABLES:
            others.pop(next(iter(others)))
        self._tables = {**others, key: table}  # replaced whole: other threads read it
        return table
