"""How draws are compared with a distribution, and what the distribution of a request is.

`distribution` is written from the definitions in float64 and plain loops, to share nothing with
the library: penalties (arXiv 1909.05858; OpenAI's parameter details), top-p (1904.09751), min-p
(2407.01082), locally typical (2202.00666), in the order that Sampling documents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tolerances import CHANCE

Probs = npt.NDArray[np.float64]


def chi_square_tail(statistic: float, degrees: int) -> float:
    """P(χ² ≥ statistic > 0), exactly: the closed form for whole degrees of freedom."""
    half, powers = statistic / 2, [float(n) for n in range(1, degrees // 2)]
    tail = math.exp(-half)
    if degrees % 2:
        tail, powers = math.erfc(math.sqrt(half)), [n + 0.5 for n in range(degrees // 2)]
    return tail + sum(math.exp(n * math.log(half) - half - math.lgamma(n + 1)) for n in powers)


def assert_drawn_from(probs: Probs, draw: Callable[[], int], draws: int) -> None:
    """Nothing impossible is drawn, and the rest as often as it should be.

    Tokens of less than five expected draws are counted together (Cochran's rule).
    """
    counts = np.bincount([draw() for _ in range(draws)], minlength=probs.size)
    assert not counts[probs == 0].any(), f"drawn, and impossible: {np.flatnonzero(counts)}"
    expected = draws * probs
    rare = expected < 5
    cells = [(int(counts[i]), float(expected[i])) for i in np.flatnonzero(~rare)]
    if expected[rare].sum() >= 5:
        cells.append((int(counts[rare].sum()), float(expected[rare].sum())))
    statistic = sum((count - wanted) ** 2 / wanted for count, wanted in cells)
    tail = chi_square_tail(statistic, len(cells) - 1) if statistic > 0 else 1.0
    assert tail > CHANCE, f"χ² = {statistic:.1f} of {len(cells)} cells: {counts} for {expected}"


def distribution(
    logits: Sequence[float],
    prompt: Iterable[int] = (),
    answer: Sequence[int] = (),
    *,
    repetition_penalty: float = 1.0,
    presence_penalty: float = 0.0,
    frequency_penalty: float = 0.0,
    logit_bias: Mapping[int, float] | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    typical_p: float = 1.0,
    **_: Any,
) -> Probs:
    """[V]: with which probability each token comes next; temperature > 0."""
    x = [float(np.float32(value)) for value in logits]
    for token in {*prompt, *answer}:
        x[token] = x[token] / repetition_penalty if x[token] > 0 else x[token] * repetition_penalty
    for token in set(answer):
        x[token] -= presence_penalty + frequency_penalty * answer.count(token)
    for token, bias in (logit_bias or {}).items():
        x[token] += bias
    probs = _normal([math.exp((value - max(x)) / temperature) for value in x])
    if top_k:
        probs = _kept(probs, _by(probs, lambda p: -p)[:top_k])
    if top_p < 1:
        probs = _kept(probs, _until(probs, _by(probs, lambda p: -p), top_p))
    if min_p > 0:
        probs = _kept(probs, [i for i, p in enumerate(probs) if p >= min_p * max(probs)])
    if typical_p < 1:
        entropy = -sum(p * math.log(p) for p in probs if p)
        order = _by(probs, lambda p: abs(-math.log(p) - entropy) if p else math.inf)
        probs = _kept(probs, _until(probs, order, typical_p))
    return np.array(probs)


def _by(probs: list[float], key: Callable[[float], float]) -> list[int]:
    return sorted(range(len(probs)), key=lambda i: (key(probs[i]), i))


def _until(probs: list[float], order: list[int], mass: float) -> list[int]:
    """The first of `order` that have the mass together."""
    taken, total = [], 0.0
    for i in order:
        taken.append(i)
        total += probs[i]
        if total >= mass:
            break
    return taken


def _kept(probs: list[float], kept: list[int]) -> list[float]:
    keep = set(kept)
    return _normal([p if i in keep else 0.0 for i, p in enumerate(probs)])


def _normal(weights: list[float]) -> list[float]:
    total = math.fsum(weights)
    return [weight / total for weight in weights]
