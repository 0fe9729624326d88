"""A figure and how sure it is, from blocks of text.

Tokens that follow one another are alike, so that they say less than as many independent ones:
blocks of them are what is drawn again (block bootstrap, Künsch 1989), not tokens. The standard
error of a mean is that of a ratio of block sums; of anything else, the spread of what was redrawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapwing.bench.quality.distance import Doubles

REDRAWN, SEED = 1000, 0
FEW_BLOCKS = "fewer than two blocks of text: nothing to compare"
Statistic = Callable[[NDArray[Any]], float]


@dataclass(frozen=True)
class Estimate:
    """low and high: 95 % interval; None, as standard_error is, where `reason` says why."""

    value: float
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def exp(self) -> Estimate:
        """Of e to this; the standard error to first order."""
        error, low, high = self.standard_error, self.low, self.high
        value = _exp(self.value)
        return Estimate(
            value,
            None if error is None else value * error,
            None if low is None else _exp(low),
            None if high is None else _exp(high),
            self.reason,
        )


def mean_of(blocks: Sequence[Doubles]) -> Estimate:
    """Mean of all values. The order of the blocks changes no bit. Raises ValueError without any."""
    counts = np.array([len(block) for block in blocks], np.float64)
    sums = np.array([math.fsum(block) for block in blocks])
    total = float(counts.sum())
    if not total:
        raise ValueError("no values")
    value = math.fsum(sums) / total
    if len(blocks) < 2:
        return Estimate(value, reason=FEW_BLOCKS)
    order = np.lexsort((sums, counts))
    counts, sums = counts[order], sums[order]
    off = sums - value * counts
    error = math.sqrt(len(blocks) / (len(blocks) - 1) * math.fsum(off * off)) / total
    drawn = _drawn(len(blocks))
    redrawn = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(redrawn, (2.5, 97.5))
    return Estimate(value, error, float(low), float(high))


def of_blocks(blocks: Sequence[NDArray[Any]], statistic: Statistic, redrawn: int = 200) -> Estimate:
    """Any statistic of all values, rows of which are blocks one after another.

    The order of the blocks matters only to the statistic, if to that.
    """
    value = statistic(np.concatenate(list(blocks)))
    if len(blocks) < 2:
        return Estimate(value, reason=FEW_BLOCKS)
    ordered = sorted(blocks, key=lambda block: (len(block), block.tobytes()))
    values = [
        statistic(np.concatenate([ordered[at] for at in draw]))
        for draw in _drawn(len(blocks), redrawn)
    ]
    found = np.array([each for each in values if math.isfinite(each)])
    if len(found) < 2:
        return Estimate(value, reason="not defined on what was drawn again")
    low, high = np.percentile(found, (2.5, 97.5))
    return Estimate(value, float(found.std(ddof=1)), float(low), float(high))


def _drawn(count: int, times: int = REDRAWN) -> NDArray[np.int64]:
    """Indices of blocks with replacement [times, count]; the same every time."""
    return np.random.default_rng(SEED).integers(0, count, (times, count))


def _exp(value: float) -> float:
    """Infinite, not an error, where a model found a text all but impossible."""
    return math.exp(value) if value < 700 else math.inf
