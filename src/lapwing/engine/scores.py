"""Logits → probabilities."""

from __future__ import annotations

import numpy as np

from lapwing.backends.base import Floats


def softmax(logits: Floats) -> Floats:
    """Over the last axis, in float64 → float32."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    weights = np.exp(shifted)
    return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


def sigmoid(logits: Floats) -> Floats:
    """1/(1 + e^−x), in float64 → float32."""
    with np.errstate(over="ignore"):  # e^−x of a large −x is infinite, and its inverse 0
        return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def label_scores(logits: Floats, problem_type: str | None) -> Floats:
    """[B, labels]: as transformers' text-classification pipeline chooses.

    Values of a regression stay; one label, or labels that do not exclude each other, are judged
    each by itself; others share a probability of 1.
    """
    if problem_type == "regression":
        return logits
    if problem_type == "multi_label_classification" or logits.shape[-1] == 1:
        return sigmoid(logits)
    return softmax(logits)
