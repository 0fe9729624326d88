"""How far answers are from one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def log_softmax(logits: NDArray[np.floating]) -> Doubles:
    """Over the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shifted


def kl_of_rows(logp: Doubles, logq: Doubles) -> Doubles:
    """KL(p ‖ q) = Σ p·(log p − log q) in nats, of each row of log-probabilities [..., V] → [...].

    Never below 0: what rounding would take there is 0.
    """
    return np.maximum(np.einsum("...v,...v->...", np.exp(logp), logp - logq), 0.0)


def mean_kl(want: NDArray[np.floating], got: NDArray[np.floating]) -> float:
    """KL(want ‖ got) of logits [..., V], in nats a token."""
    return float(kl_of_rows(log_softmax(want), log_softmax(got)).mean())


def nll_of(logp: Doubles, tokens: ArrayLike) -> Doubles:
    """−log p of token t at row t, in nats: [T, V], [T] → [T]."""
    at = np.asarray(tokens, np.int64)
    return -logp[np.arange(len(at)), at]


def cosine_of_rows(a: Floats, b: Floats) -> Doubles:
    """Of each row of a with that of b → [n]; 0 where one of them has no length."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    products = (x * y).sum(1)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def ranks(values: NDArray[np.floating]) -> Doubles:
    """From 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse.reshape(-1)]


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Correlation of ranks; NaN where all values of one are the same."""
    x, y = ranks(np.asarray(a)), ranks(np.asarray(b))
    x -= x.mean()
    y -= y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float((x @ y) / scale) if scale > 0 else float("nan")
