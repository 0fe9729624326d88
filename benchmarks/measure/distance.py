"""How far answers are from one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def log_softmax(logits: Floats) -> NDArray[np.float64]:
    """Over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def mean_kl(want: Floats, got: Floats) -> float:
    """KL(want ‖ got) in nats a token."""
    p, q = log_softmax(want), log_softmax(got)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Correlation of ranks; equal values share the mean of theirs."""

    def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        return (last - (counts - 1) / 2)[inverse]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])
