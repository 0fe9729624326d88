"""Distances from published definitions and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lapwing.bench.quality.distance import (
    cosine_of_rows,
    log_softmax,
    mean_kl,
    nll_of,
    ranks,
    spearman,
)


def test_kl_by_hand() -> None:
    """(½, ½) against (¼, ¾): ½ ln 2 + ½ ln ⅔."""
    want, got = np.log(np.array([[0.5, 0.5]])), np.log(np.array([[0.25, 0.75]]))
    assert mean_kl(want, got) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert mean_kl(want, want) == 0


def test_spearman_shares_ranks() -> None:
    """Ranks 1, 2½, 2½, 4 against 1, 2, 3, 4: 1 − what ties take."""
    assert ranks(np.array([3.0, 1.0, 3.0, 7.0])).tolist() == [2.5, 1, 2.5, 4]
    assert spearman(np.array([1, 2, 2, 3]), np.array([1, 2, 3, 4])) == pytest.approx(0.9486833)


def test_spearman_of_a_constant_is_no_number() -> None:
    assert math.isnan(spearman(np.ones(4), np.arange(4.0)))


def test_nll_and_softmax_by_hand() -> None:
    """Odds of 1 to 3, however large the logits."""
    logits = np.array([[1e4, 1e4 + math.log(3)], [0, math.log(3)]], np.float64)
    assert nll_of(log_softmax(logits), [0, 1]) == pytest.approx([math.log(4), math.log(4 / 3)])


def test_cosines() -> None:
    """45°, the same direction, and one without a direction."""
    a = np.array([[1, 0], [2, 2], [0, 0]], np.float32)
    b = np.array([[1, 1], [1, 1], [1, 0]], np.float32)
    assert cosine_of_rows(a, b) == pytest.approx([math.sqrt(0.5), 1, 0])
