"""Whose turn it is: every competitor once a round, in an order drawn anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def interleaved(competitors: Sequence[T], rounds: int, seed: int) -> Iterator[tuple[int, T]]:
    """(round, competitor); the same seed gives the same order."""
    rng = np.random.default_rng(seed)
    for index in range(rounds):
        for at in rng.permutation(len(competitors)):
            yield index, competitors[at]
