"""What is done to logits before a token is drawn: step by step, by hand and by law."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from chance import distribution
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import LOGPROB

from lapwing import sample_token
from lapwing.engine.sampling import FILTERS, PENALTIES, History, log_softmax

Array = npt.NDArray[Any]

INF = math.inf


def natural(*probs: float) -> Array:
    """Logits of probabilities."""
    return np.log(np.array(probs))


FOUR = np.array([2.0, -2.0, 4.0, 0.5], np.float32)


@pytest.mark.parametrize(
    ("name", "value", "history", "expected"),
    [
        # Of prompt and answer, once: 2/2, -2·2, 4/2; token 3 was not there.
        ("repetition_penalty", 2.0, History([0, 1, 0], [2, 2]), [1.0, -4.0, 2.0, 0.5]),
        ("repetition_penalty", 0.5, History([0, 1], []), [4.0, -1.0, 4.0, 0.5]),
        ("repetition_penalty", 2.0, History(), [2.0, -2.0, 4.0, 0.5]),
        # Of the answer only, once however often it stands there.
        ("presence_penalty", 1.5, History([0, 1], [2, 2, 3]), [2.0, -2.0, 2.5, -1.0]),
        ("presence_penalty", -1.0, History([0], [1]), [2.0, -1.0, 4.0, 0.5]),
        # Of the answer only, for each time.
        ("frequency_penalty", 0.25, History([0, 1], [2, 2, 2, 3]), [2.0, -2.0, 3.25, 0.25]),
        ("frequency_penalty", -2.0, History([], [1, 1]), [2.0, 2.0, 4.0, 0.5]),
        ("logit_bias", {0: 1.25, 3: -100.0, 2: -INF}, History(), [3.25, -2.0, -INF, -99.5]),
    ],
)
def test_penalties_by_hand(name: str, value: Any, history: History, expected: list[float]) -> None:
    given_logits = FOUR.copy()
    got = dict(PENALTIES)[name](given_logits, value, history)
    assert got.dtype == np.float32
    assert got.tolist() == expected
    np.testing.assert_array_equal(given_logits, FOUR)  # the caller's stay as they are


def test_the_order_of_penalties_by_hand() -> None:
    """Divide, then subtract, then add: 4/2 - 1 - 2·0.25 + 3 = 3.5; any other order differs."""
    row, history = FOUR, History([2], [2, 2])
    values = {
        "repetition_penalty": 2.0,
        "presence_penalty": 1.0,
        "frequency_penalty": 0.25,
        "logit_bias": {2: 3.0},
    }
    for name, step in PENALTIES:
        row = step(row, values[name], history)
    assert row.tolist() == [2.0, -2.0, 3.5, 0.5]


# Probabilities 1/2, 1/4, 1/8, 1/8: surprises of 1, 2, 3, 3 bits, an entropy of 1.75 bits, so that
# token 1 is the most typical (0.25 away), then 0 (0.75), then 2 and 3 (1.25).
HALVES = natural(1 / 2, 1 / 4, 1 / 8, 1 / 8)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("top_k", 0, [0, 1, 2, 3]),
        ("top_k", 1, [0]),
        ("top_k", 2, [0, 1]),
        ("top_k", 3, [0, 1, 2]),  # of equals the lower id
        ("top_k", 4, [0, 1, 2, 3]),
        ("top_k", 99, [0, 1, 2, 3]),
        ("top_p", 0.0, [0]),  # at least one
        ("top_p", 0.49, [0]),
        ("top_p", 0.51, [0, 1]),
        ("top_p", 0.74, [0, 1]),
        ("top_p", 0.76, [0, 1, 2]),
        ("top_p", 0.88, [0, 1, 2, 3]),
        ("top_p", 1.0, [0, 1, 2, 3]),
        ("min_p", 0.0, [0, 1, 2, 3]),
        ("min_p", 0.24, [0, 1, 2, 3]),  # 1/8 is a quarter of the likeliest
        ("min_p", 0.26, [0, 1]),
        ("min_p", 0.51, [0]),
        ("min_p", 1.0, [0]),
        ("typical_p", 0.0, [1]),
        ("typical_p", 0.24, [1]),  # the likeliest is out
        ("typical_p", 0.26, [0, 1]),
        ("typical_p", 0.76, [0, 1, 2]),
        ("typical_p", 0.88, [0, 1, 2, 3]),
        ("typical_p", 1.0, [0, 1, 2, 3]),
    ],
)
def test_filters_by_hand(name: str, value: float, kept: list[int]) -> None:
    step = dict(FILTERS)[name]
    for order in itertools.permutations(range(4)):
        if order.index(2) > order.index(3):
            continue  # the two equals in their places
        where = [order.index(i) for i in kept]
        got = step(HALVES[list(order)], value)
        assert np.flatnonzero(got > -INF).tolist() == sorted(where)
        np.testing.assert_array_equal(got[where], HALVES[kept])


def test_equals_at_every_border() -> None:
    """Lower ids first, wherever the equals stand."""
    for name, value, kept in [
        ("top_k", 3, [0, 1, 2]),
        ("top_p", 0.29, [0, 1, 2]),
        ("typical_p", 0.29, [0, 1, 2]),
        ("min_p", 1.0, list(range(10))),
    ]:
        got = dict(FILTERS)[name](np.full(10, 7.5, np.float32), value)
        assert np.flatnonzero(got > -INF).tolist() == kept, name


@pytest.mark.parametrize(
    ("how", "temperature", "kept"),
    [
        # Squared: 16/22, 4/22, 1/22, 1/22. Of 1/2 and 1/4, before, top_p would keep two.
        ({"top_p": 0.7}, 0.5, {0}),
        # 4/5, 1/5 behind top_k. Of 16/22 and 4/22 top_p would keep two.
        ({"top_k": 2, "top_p": 0.75}, 0.5, {0}),
        # top_p keeps 1/2 and 1/4. Of 2/3 and 1/3, behind min_p, it would keep one.
        ({"top_p": 0.6, "min_p": 0.4}, 1.0, {0, 1}),
        # 2/3 and 1/3 behind min_p have an entropy of 0.92 bits: 0 is at 0.33, and 1 at 0.67. Of all
        # four, token 1 is the most typical.
        ({"min_p": 0.4, "typical_p": 0.2}, 1.0, {0}),
    ],
)
def test_the_order_of_filters_by_hand(
    how: dict[str, Any], temperature: float, kept: set[int]
) -> None:
    rng = np.random.default_rng(0)
    assert {sample_token(HALVES, temperature, rng, **how) for _ in range(60)} == kept


# Laws.

some_logits = st.lists(
    st.floats(-20, 20, width=32) | st.sampled_from([0.0, 1.0, -INF]), min_size=1, max_size=40
).filter(lambda values: max(values) > -INF)
chances = st.floats(0, 1)
seeds = st.integers(0, 10**6)


@settings(deadline=None)
@given(some_logits, seeds, st.floats(0.05, 20))
def test_neutral_values_change_nothing(values: list[float], seed: int, temperature: float) -> None:
    row, history = np.array(values, np.float32), History([0], [0, 0])
    neutral = {
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logit_bias": {},
    }
    for name, penalize in PENALTIES:
        assert penalize(row, neutral[name], history) is row
    for name, value in (("top_k", 0), ("top_k", row.size), ("top_p", 1), ("min_p", 0)):
        assert dict(FILTERS)[name](row, value) is row
    assert dict(FILTERS)["typical_p"](row, 1) is row
    plain = sample_token(row, temperature, seed)
    how = {"top_k": row.size, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}
    assert sample_token(row, temperature, seed, **how) == plain


@settings(deadline=None)
@given(some_logits, st.sampled_from([name for name, _ in FILTERS[1:]]), chances)
def test_filters_only_remove(values: list[float], name: str, value: float) -> None:
    row = np.array(values, np.float32)
    step = dict(FILTERS)[name]
    got = step(row, int(value * 45) if name == "top_k" else value)
    kept = got > -INF
    assert kept.any()
    assert got.dtype == row.dtype
    np.testing.assert_array_equal(got[kept], row[kept])
    if name == "typical_p":
        return
    # What is out is less likely than all that stays, or as likely with a higher id.
    alive = np.flatnonzero(row > -INF)
    order = sorted(alive, key=lambda i: (-row[i], i))
    assert order[: np.count_nonzero(kept)] == sorted(
        np.flatnonzero(kept), key=lambda i: (-row[i], i)
    )


@settings(deadline=None)
@given(some_logits, st.sampled_from(["top_k", "top_p", "min_p", "typical_p"]), chances, chances)
def test_stricter_keeps_less(values: list[float], name: str, one: float, other: float) -> None:
    row = np.array(values, np.float32)
    strict, mild = sorted((one, other), reverse=name == "min_p")
    if name == "top_k":
        strict, mild = 1 + int(strict * 44), 1 + int(mild * 44)
    fewer, more = (dict(FILTERS)[name](row, value) > -INF for value in (strict, mild))
    assert not (fewer & ~more).any()


@settings(deadline=None)
@given(some_logits, seeds, st.floats(0.05, 20))
def test_what_keeps_one_is_greedy(values: list[float], seed: int, temperature: float) -> None:
    greedy = sample_token(values)
    for how in ({"top_k": 1}, {"top_p": 0.0}):
        assert sample_token(values, temperature, seed, **how) == greedy
    if sum(value == max(values) for value in values) == 1:
        assert sample_token(values, 1e-320, seed) == greedy
        assert sample_token(values, temperature, seed, min_p=1.0) == greedy


# Eighths, and fractions that no sum of such probabilities hits: no border is a matter of rounding.
eighths = st.lists(st.integers(-160, 160).map(lambda n: n / 8), min_size=1, max_size=40)
odd_chances = st.integers(0, 999).map(lambda n: (n + 0.37) / 1000)


@settings(deadline=None)
@given(
    eighths,
    st.fixed_dictionaries(
        {"temperature": st.sampled_from([0.3, 1.0, 4.0])},
        optional={
            "top_k": st.integers(0, 50),
            "top_p": odd_chances,
            "min_p": odd_chances,
            "typical_p": odd_chances,
        },
    ),
)
def test_filters_are_their_definitions(values: list[float], how: dict[str, Any]) -> None:
    want = distribution(values, **how)
    row: Array = np.array(values, np.float32)
    for name, step in FILTERS:
        if name in how:
            row = step(row, how[name])
    got = np.exp(log_softmax(row))
    np.testing.assert_array_equal(got > 0, want > 0)
    np.testing.assert_allclose(got, want, rtol=0, atol=LOGPROB)


def test_filters_of_a_large_vocabulary_are_their_definitions() -> None:
    """They look at a few tokens first, and at more where those are not enough."""
    for spread in (0.0, 1.0, 5.0):
        row = (np.random.default_rng(2).normal(size=1500) * spread).astype(np.float32)
        row[::3] = row[0]  # many equals
        for name, values in (
            ("top_k", (1, 255, 256, 257, 1200)),
            ("top_p", (0.00037, 0.50037, 0.99937)),
            ("typical_p", (0.00037, 0.50037, 0.99937)),
        ):
            for value in values:
                got = dict(FILTERS)[name](row, value) > -INF
                np.testing.assert_array_equal(got, distribution(row, **{name: value}) > 0)
