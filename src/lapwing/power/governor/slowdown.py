"""From the times of tokens alone: has the machine become slower than it was when cool?

CUSUM (Page 1954) over x = log(time) − log(a + b·context). a and b are fitted to the first tokens
after a cool start, b only where it stands out from their noise: a slope of chance, carried on over
thousands of positions, would hide a slowdown or invent one. Where a model tells how many bytes a
position adds to a token's, time is expected to grow by several times that share, at least. The
middle of three times goes in: what an operating system adds to some tokens is not Gaussian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

BASELINE_TOKENS = 64
SIGNIFICANT = 4.0  # standard errors
CACHE_COST = 4.0  # of a byte of the cache over one of the weights: 2.4 to 2.8 were measured
ALLOWANCE = 0.05  # slower by less is not counted
ALARM = 0.6
SHOWN = 16  # tokens that `Detector.slowdown` is averaged over


@dataclass(frozen=True)
class Detector:
    """After so many tokens. Push the next one to get the next detector."""

    n: int = 0  # of the baseline
    sum_c: float = 0.0
    sum_t: float = 0.0
    sum_cc: float = 0.0
    sum_ct: float = 0.0
    sum_tt: float = 0.0
    last: tuple[float, ...] = ()  # at most the two times before
    score: float = 0.0
    slower: float = 0.0  # running mean of x

    @property
    def alarmed(self) -> bool:
        """It has slowed down, and noise does not explain it."""
        return self.score >= ALARM

    @property
    def slowdown(self) -> float | None:
        """Time over what it was, less 1; None while the baseline is being taken."""
        return math.expm1(self.slower) if self.n >= BASELINE_TOKENS else None

    def push(self, token_s: float, context: int, growth: float = 0.0) -> Detector:
        """With one token more. Times that are no positive numbers are left out.

        growth: bytes that each position adds to what a token reads, as a share of the weights.
        """
        if not (math.isfinite(token_s) and token_s > 0.0):
            return self
        middle_s = sorted((*self.last, token_s))[len(self.last) // 2]
        last = (*self.last, token_s)[-2:]
        if self.n < BASELINE_TOKENS:
            c, t = float(context), middle_s
            return replace(
                self, n=self.n + 1, sum_c=self.sum_c + c, sum_t=self.sum_t + t,
                sum_cc=self.sum_cc + c * c, sum_ct=self.sum_ct + c * t,
                sum_tt=self.sum_tt + t * t, last=last,
            )  # fmt: skip
        x = math.log(middle_s / self._expected_s(context, growth))
        score = min(max(0.0, self.score + x - ALLOWANCE), 2 * ALARM)
        return replace(self, last=last, score=score, slower=self.slower + (x - self.slower) / SHOWN)

    def _expected_s(self, context: int, growth: float) -> float:
        """The longer of what the baseline's line says, and what bytes say."""
        mean_s, beyond = self.sum_t / self.n, max(0.0, context - self.sum_c / self.n)
        return max(self._fitted_s(context), mean_s * (1.0 + CACHE_COST * growth * beyond))

    def _fitted_s(self, context: int) -> float:
        """By least squares."""
        n, mean_c, mean_s = self.n, self.sum_c / self.n, self.sum_t / self.n
        cc = self.sum_cc - n * mean_c * mean_c
        ct = self.sum_ct - n * mean_c * mean_s
        tt = self.sum_tt - n * mean_s * mean_s
        if cc <= 1e-9 * self.sum_cc or ct <= 0.0:
            return mean_s
        slope = ct / cc
        error = math.sqrt(max(tt - slope * ct, 0.0) / (n - 2) / cc)
        if slope < SIGNIFICANT * error:
            return mean_s
        return max(mean_s + slope * (context - mean_c), 0.1 * mean_s)
