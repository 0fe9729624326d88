"""Distributions over a vocabulary, whole or kept in little room, and what others lose to them.

A kept one p has the log-probabilities of its likeliest tokens T, r, which is what all others
together have, and a few of the others, drawn by p itself. Against q:

    estimate   Σ_T p·(log p − log q) + r·mean over the drawn of (log p − log q)
    certain    KL' ≤ KL ≤ KL' + r·log(c/d),   KL' = Σ_T p·(log p − log q) + r·(log r − log s),
               s = Σ q over the others,  c = min(pₖ, r)/r,  d = min over the others of q/s

The estimate is KL in the mean over what could have been drawn, which is independent from position
to position: the sample variance of the drawn gives its error, and over N positions that shrinks as
1/√N. What is certain holds whatever was drawn. With p̃ = p/r and q̃ = q/s, the others' shares,
KL = KL' + r·KL(p̃ ‖ q̃). A divergence is never negative: that is the left. KL(p̃ ‖ q̃) is a mean of
log(p̃/q̃), and p̃ is at most c (no other token is likelier than the last that was kept, pₖ, and none
has more than all of them), q̃ at least d: that is the right. Where nothing is left out, r = 0, and
all of them are KL.

Log-probabilities are kept as float32, off by |log p|·2⁻²⁴ at most. To first order that changes a
term p·(log p − log q) by p·|log p|·2⁻²⁴·(|log p − log q| + 1); twice that widens what is certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lapwing.bench.quality.distance import Doubles, Floats, kl_of_rows

ROUNDING = 2.0 * 2.0**-24
ENOUGH = 1e-7  # probability of all tokens that are left out, where there is room for that
DRAWN = 8  # of the others, at every position


class Losses(NamedTuple):
    """Of each position [T]: KL in nats as estimated, its variance by what was drawn, the least and
    the most that it can be, and whether the same token is the likeliest."""

    kl: Doubles
    variance: Doubles
    low: Doubles
    high: Doubles
    same_top: NDArray[np.bool_]


@dataclass(frozen=True)
class Whole:
    """Every log-probability: [T, V]."""

    logp: Doubles

    def losses(self, logq: Doubles) -> Losses:
        """Of q to this."""
        kl = kl_of_rows(self.logp, logq)
        same = self.logp.argmax(1) == logq.argmax(1)
        return Losses(kl, np.zeros_like(kl), kl, kl, same)


@dataclass(frozen=True)
class Kept:
    """T positions: of position t the next counts[t] ≥ 1 of `ids` and `logp`, the likeliest first.

    ids: uint16 or uint32. logp: float32. rest: float64 [T], exactly 0 where all tokens are kept.
    drawn_ids, drawn_logp [T, DRAWN]: of the others; without meaning where rest is 0.
    """

    ids: NDArray[Any]
    logp: Floats
    counts: NDArray[np.int64]
    rest: Doubles
    drawn_ids: NDArray[Any]
    drawn_logp: Floats

    def __getitem__(self, span: slice) -> Kept:
        """Positions [span.start, span.stop)."""
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        inside = slice(int(ends[span.start]), int(ends[span.stop]))
        return Kept(
            self.ids[inside],
            self.logp[inside],
            self.counts[span],
            self.rest[span],
            self.drawn_ids[span],
            self.drawn_logp[span],
        )

    def losses(self, logq: Doubles) -> Losses:
        """Of q [T, V] to this."""
        starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        rows, ids = np.repeat(np.arange(len(self.counts)), self.counts), self.ids.astype(np.int64)
        logp = self.logp.astype(np.float64)
        p, apart = np.exp(logp), logp - logq[rows, ids]
        kl = np.add.reduceat(p * apart, starts)
        wide = np.add.reduceat(p * np.abs(logp) * (np.abs(apart) + 1), starts) * ROUNDING
        low, high, variance = kl.copy(), kl.copy(), np.zeros_like(kl)
        others = np.flatnonzero(self.rest > 0)
        if len(others):
            left = logq.copy()
            left[rows, ids] = -np.inf
            lumped, gap = self._certain(others, left[others], logp[starts + self.counts - 1])
            drawn = self.drawn_ids[others].astype(np.int64)
            ratios = self.drawn_logp[others] - logq[others[:, None], drawn]
            r = self.rest[others]
            kl[others] += r * ratios.mean(1)
            variance[others] = r * r * ratios.var(1, ddof=1) / ratios.shape[1]
            low[others] += lumped
            high[others] += lumped + gap
        low, high = np.maximum(low - wide, 0), high + wide
        return Losses(kl, variance, low, high, ids[starts] == logq.argmax(1))

    def _certain(self, others: NDArray[np.int64], left: Doubles, last: Doubles) -> Any:
        """r·(log r − log s) and r·log(c/d) of positions `others`.

        left: their log q, −inf for kept tokens; last: log pₖ of every position.
        """
        r = self.rest[others]
        most = left.max(1, keepdims=True)
        log_s = (most + np.log(np.exp(left - most).sum(1, keepdims=True)))[:, 0]
        log_d = np.where(np.isinf(left), np.inf, left).min(1) - log_s
        log_c = np.minimum(last[others] * (1 - ROUNDING) - np.log(r), 0.0)
        return r * (np.log(r) - log_s), r * np.maximum(log_c - log_d, 0)


def keep(logp: Doubles, most: int, rng: np.random.Generator, enough: float = ENOUGH) -> Kept:
    """The likeliest tokens of each row of [T, V] (`most`), or all but what has only `enough`."""
    V = logp.shape[1]
    most = max(1, min(most, V))
    if most < V:
        found = np.argpartition(-logp, most - 1, axis=1)[:, :most]
    else:
        found = np.broadcast_to(np.arange(V), logp.shape)
    # By token where equally likely, so that the first is the one that argmax names.
    found = np.sort(found, axis=1)
    values = np.take_along_axis(logp, found, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    found, values = np.take_along_axis(found, order, 1), np.take_along_axis(values, order, 1)
    p = np.exp(values)
    left = np.exp(logp)
    np.put_along_axis(left, found, 0.0, 1)
    # What each of them leaves to those behind it, summed from the end: small numbers first.
    behind = np.cumsum(p[:, ::-1], axis=1)[:, ::-1] - p + left.sum(1)[:, None]
    counts = np.minimum((behind > enough).sum(1) + 1, most)
    taken = np.arange(most) < counts[:, None]
    np.put_along_axis(left, found, np.where(taken, 0.0, p), 1)
    rest = np.where(counts < V, left.sum(1), 0.0)
    drawn = _draw(left, rng)
    spelled = np.uint16 if V <= 1 << 16 else np.uint32
    return Kept(
        found[taken].astype(spelled),
        values[taken].astype(np.float32),
        counts,
        rest,
        drawn.astype(spelled),
        np.take_along_axis(logp, drawn, 1).astype(np.float32),
    )


def _draw(weights: Doubles, rng: np.random.Generator) -> NDArray[np.int64]:
    """DRAWN tokens of each row, by their weights and with replacement; 0 where there are none."""
    sums = np.cumsum(weights, axis=1)
    drawn = np.zeros((len(weights), DRAWN), np.int64)
    for at, (row, chance) in enumerate(zip(sums, rng.random(drawn.shape), strict=True)):
        if row[-1] > 0:
            # Not beyond the first that has everything: those behind it weigh nothing.
            last = int(np.searchsorted(row, row[-1], side="left"))
            found = np.searchsorted(row, chance * row[-1], side="right")
            drawn[at] = np.minimum(found, last)
    return drawn


def join(parts: Sequence[Kept]) -> Kept:
    """Positions one after another."""
    names = ("ids", "logp", "counts", "rest", "drawn_ids", "drawn_logp")
    return Kept(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
