"""Medians and ratios against cases worked by hand."""

import numpy as np
import pytest

from lapwing.bench.measure.interleave import interleaved
from lapwing.bench.measure.stats import Spread, bootstrap_ratio


def test_spread_of_known_samples() -> None:
    spread = Spread.of([float(i) for i in range(101)])
    assert (spread.p5, spread.median, spread.p95) == (5, 50, 95)


def test_equal_rounds_leave_no_doubt() -> None:
    ratio = bootstrap_ratio([2.0] * 8, [1.0] * 8)
    assert (ratio.value, ratio.low, ratio.high) == (2, 2, 2)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    """95 % of 60 intervals are 57; three standard deviations of a binomial are 5."""
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(60):
        theirs, ours = 3 + rng.standard_normal(24) / 10, 2 + rng.standard_normal(24) / 10
        ratio = bootstrap_ratio(theirs.tolist(), ours.tolist(), seed)
        covered += ratio.low <= 1.5 <= ratio.high
    assert covered >= 52


def test_what_slows_a_round_slows_both() -> None:
    slow = [1.0, 1.0, 9.0, 1.0, 9.0, 1.0]
    ratio = bootstrap_ratio([2 * each for each in slow], slow)
    assert (ratio.low, ratio.high) == (2, 2)


def test_only_common_rounds_count() -> None:
    assert bootstrap_ratio([2.0, 2.0, 100.0], [1.0, 1.0]).value == 2


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        bootstrap_ratio([], [1.0])


def test_everyone_has_a_turn_in_every_round_in_changing_order() -> None:
    names = ["a", "b", "c", "d"]
    turns = list(interleaved(names, 20, seed=3))
    rounds = [[name for at, name in turns if at == index] for index in range(20)]
    assert all(sorted(each) == names for each in rounds)
    assert len({tuple(each) for each in rounds}) > 5


def test_order_is_of_the_seed() -> None:
    assert list(interleaved("abc", 5, seed=1)) == list(interleaved("abc", 5, seed=1))
    assert list(interleaved("abc", 5, seed=1)) != list(interleaved("abc", 5, seed=2))
