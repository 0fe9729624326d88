"""Errors of figures: by hand, and what they cover when data is drawn again in truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lapwing.bench.quality.estimate import FEW_BLOCKS, Estimate, mean_of, of_blocks


def test_mean_and_standard_error_by_hand() -> None:
    """Block means 1, 2, 3 of equal blocks: s² = 1, so 1/√3."""
    found = mean_of([np.full(4, 1.0), np.full(4, 2.0), np.full(4, 3.0)])
    assert found.value == 2
    assert found.standard_error == pytest.approx(1 / math.sqrt(3))
    assert found.low is not None
    assert found.high is not None
    assert 1 <= found.low < 2 < found.high <= 3


def test_one_block_has_no_error_and_says_why() -> None:
    found = mean_of([np.array([1.0, 2.0])])
    assert (found.value, found.standard_error, found.low) == (1.5, None, None)
    assert found.reason == FEW_BLOCKS
    assert of_blocks([np.array([1.0])], lambda x: float(x[0])).reason == FEW_BLOCKS


def test_exp_of_an_estimate() -> None:
    found = Estimate(math.log(8), 0.25, math.log(4), math.log(16)).exp()
    assert (found.value, found.standard_error) == (pytest.approx(8), pytest.approx(2))
    assert (found.low, found.high) == (pytest.approx(4), pytest.approx(16))
    assert Estimate(1e4).exp().value == math.inf


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Alike inside blocks: taking values for independent would give intervals 4 times too short."""
    rng = np.random.default_rng(3)
    covered = errors = 0.0
    for _ in range(200):
        blocks = [np.full(16, mean) for mean in rng.normal(size=40)]
        found = mean_of(blocks)
        assert found.low is not None
        assert found.high is not None
        assert found.standard_error is not None
        covered += found.low <= 0 <= found.high
        errors += found.standard_error / 200
    # 95 % less what percentile intervals of 40 blocks are known to fall short; 3 errors of 200.
    assert 0.88 <= covered / 200 <= 1
    assert errors == pytest.approx(1 / math.sqrt(40), rel=0.05)


def test_percentile_and_its_spread() -> None:
    blocks = [np.arange(100.0) + at for at in range(8)]
    found = of_blocks(blocks, lambda values: float(np.percentile(values, 99)))
    assert found.value == pytest.approx(np.percentile(np.concatenate(blocks), 99))
    assert found.standard_error is not None
    assert 0 < found.standard_error < 8
