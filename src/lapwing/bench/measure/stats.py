"""Medians, spreads, and how sure a ratio is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
RESAMPLES = 4000
ENOUGH_FOR_P99 = 100
STABLE_CV, STABLE_RUNS = 0.05, 3


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
class Summary:
    """Of n samples, in their unit. std: of the sample (n − 1); None for one.

    Percentiles are interpolated between samples. p99 is None for fewer than 100: it would be the
    largest, or near it, by chance.
    """

    median: float
    mean: float
    min: float
    p5: float
    p95: float
    p99: float | None
    std: float | None
    n: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Summary:
        """Raises ValueError without any."""
        if not len(samples):
            raise ValueError("Summary: expected at least one sample, got none")
        values = np.asarray(samples, np.float64)
        p5, median, p95, p99 = (float(q) for q in np.percentile(values, (5, 50, 95, 99)))
        n = len(values)
        return cls(
            median=median,
            mean=float(values.mean()),
            min=float(values.min()),
            p5=p5,
            p95=p95,
            p99=p99 if n >= ENOUGH_FOR_P99 else None,
            std=float(values.std(ddof=1)) if n > 1 else None,
            n=n,
        )


def variation(samples: Sequence[float]) -> float:
    """Coefficient of variation: standard deviation of the sample over its mean; two at least."""
    values = np.asarray(samples, np.float64)
    return float(values.std(ddof=1) / values.mean())


def is_warm(durations_s: Sequence[float]) -> bool:
    """The last three runs took nearly the same time: they vary by less than 5 %."""
    last = durations_s[-STABLE_RUNS:]
    return len(last) == STABLE_RUNS and variation(last) < STABLE_CV


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
    return _ratio(a, b, ratios)


def bootstrap_ratio_apart(theirs: Sequence[float], ours: Sequence[float], seed: int = 0) -> Ratio:
    """As `bootstrap_ratio`, of samples that were taken apart: each side is redrawn by itself."""
    if not len(theirs) or not len(ours):
        raise ValueError("bootstrap_ratio_apart: expected a sample of each, got none")
    rng = np.random.default_rng(seed)
    a, b = np.asarray(theirs, np.float64), np.asarray(ours, np.float64)
    drawn_a, drawn_b = (rng.choice(side, (RESAMPLES, len(side))) for side in (a, b))
    return _ratio(a, b, np.median(drawn_a, axis=1) / np.median(drawn_b, axis=1))


def _ratio(a: Doubles, b: Doubles, resampled: Doubles) -> Ratio:
    low, high = np.percentile(resampled, (2.5, 97.5))
    return Ratio(float(np.median(a) / np.median(b)), float(low), float(high))
