"""Medians, spreads, and how sure a ratio is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000


@dataclass(frozen=True)
class Spread:
    """Of samples: the middle, and where the middle nine tenths lie."""

    median: float
    p5: float
    p95: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """At least one sample."""
        p5, median, p95 = np.percentile(np.asarray(samples, np.float64), (5, 50, 95))
        return cls(float(median), float(p5), float(p95))


@dataclass(frozen=True)
class Ratio:
    """Of two medians, and the interval that holds 95 % of its resamples."""

    value: float
    low: float
    high: float


def bootstrap_ratio(theirs: Sequence[float], ours: Sequence[float], seed: int = 0) -> Ratio:
    """median(theirs) / median(ours); samples of the same index are of the same round.

    Whole rounds are drawn with replacement: what slowed a round slowed both. Rounds that one of
    them lacks are left out.
    """
    rounds = min(len(theirs), len(ours))
    if rounds == 0:
        raise ValueError("bootstrap_ratio: expected at least one round of each, got none")
    a, b = (np.asarray(samples[:rounds], np.float64) for samples in (theirs, ours))
    drawn = np.random.default_rng(seed).integers(0, rounds, (RESAMPLES, rounds))
    ratios = np.median(a[drawn], axis=1) / np.median(b[drawn], axis=1)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return Ratio(float(np.median(a) / np.median(b)), float(low), float(high))
