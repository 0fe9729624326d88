"""Distances from published definitions and by hand."""

import numpy as np
import pytest

from benchmarks.measure.distance import mean_kl, spearman


def test_kl_by_hand() -> None:
    """(½, ½) against (¼, ¾): ½ ln 2 + ½ ln ⅔."""
    want, got = np.log(np.array([[0.5, 0.5]])), np.log(np.array([[0.25, 0.75]]))
    assert mean_kl(want, got) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert mean_kl(want, want) == 0


def test_spearman_shares_ranks() -> None:
    """Ranks 1, 2½, 2½, 4 against 1, 2, 3, 4: 1 − what ties take."""
    assert spearman(np.array([1, 2, 2, 3]), np.array([1, 2, 3, 4])) == pytest.approx(0.9486833)
