"""Logits → one token."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from chance import assert_drawn_from, distribution

from lapwing import RequestError, sample_token
from lapwing.engine.sampling import History, Sampler, Sampling, choose

LOGITS = np.array([1.0, 0.2, -0.5, 2.0, 1.9, 0.0, -1.0, 0.7, 1.1, 0.4], np.float32)
DRAWS = 4000
INF = math.inf


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_frequencies_are_the_softmax(temperature: float) -> None:
    rng = np.random.default_rng(1)
    probs = distribution(LOGITS, temperature=temperature)
    assert_drawn_from(probs, lambda: sample_token(LOGITS, temperature, rng), 5 * DRAWS)


@pytest.mark.parametrize(
    "how",
    [
        {"top_k": 4},
        {"top_p": 0.6},
        {"min_p": 0.3},
        {"typical_p": 0.5},
        {"repetition_penalty": 1.8},
        {"repetition_penalty": 0.5},
        {"presence_penalty": 1.2},
        {"frequency_penalty": 0.7},
        {"frequency_penalty": -0.3, "presence_penalty": -0.4},
        {"logit_bias": {3: -2.0, 6: 2.5, 4: -INF}},
        {"temperature": 0.6, "top_k": 7, "top_p": 0.8},
        {"temperature": 2.0, "top_k": 8, "min_p": 0.2, "typical_p": 0.9},
        {"temperature": 1.5, "top_p": 0.9, "typical_p": 0.7},
        {
            "repetition_penalty": 1.3,
            "presence_penalty": 0.2,
            "frequency_penalty": 0.4,
            "logit_bias": {0: 1.0, 9: -INF},
            "temperature": 1.7,
            "top_k": 8,
            "top_p": 0.95,
            "min_p": 0.1,
            "typical_p": 0.93,
        },
    ],
    ids=lambda how: "-".join(how),
)
def test_frequencies_of_every_step(how: dict[str, Any]) -> None:
    """Pearson's chi-square against distributions computed from the definitions."""
    how = {"temperature": 1.0, **how}
    prompt, answer = [0, 2, 3, 3], [3, 4, 4, 6, 4]
    rng, history, wishes = np.random.default_rng(7), History(prompt, answer), Sampling(**how)
    probs = distribution(LOGITS, prompt, answer, **how)
    assert 0 < np.count_nonzero(probs) <= LOGITS.size
    assert_drawn_from(probs, lambda: choose(LOGITS, wishes, history, rng), DRAWS)


def test_frequencies_over_a_large_vocabulary() -> None:
    """More tokens are likely than the filters look at first."""
    logits = np.random.default_rng(3).normal(size=600).astype(np.float32)
    rng = np.random.default_rng(4)
    for how in ({"top_p": 0.9}, {"typical_p": 0.8}, {"top_k": 400, "min_p": 0.01}):
        probs = distribution(logits, **how)
        assert np.count_nonzero(probs) > 256
        assert_drawn_from(probs, lambda how=how: sample_token(logits, 1.0, rng, **how), 2 * DRAWS)


def test_temperature_zero_is_the_largest() -> None:
    assert sample_token([0.1, 3.0, -2.0, 2.9]) == 1
    assert sample_token(np.float16([1, 1, 1])) == 0  # the first of equals
    assert sample_token([-math.inf, -5.0, -math.inf]) == 1


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300, 5e-324])
def test_tiny_temperatures_are_greedy(temperature: float) -> None:
    for seed in range(20):
        assert sample_token([0.0, 1.0, 0.5, -3e38], temperature, seed) == 1
        assert sample_token([0.0, 1.0, 0.5, -3e38], temperature, seed, typical_p=0.5) == 1


def test_equals_share_at_any_temperature() -> None:
    drawn = {sample_token([2.0, 5.0, 5.0, -1.0], 1e-200, seed) for seed in range(50)}
    assert drawn == {1, 2}


def test_impossible_tokens_are_never_drawn() -> None:
    logits = np.full(100, -np.inf, np.float32)
    logits[[7, 93]] = 0
    rng = np.random.default_rng(0)
    assert {sample_token(logits, 1.0, rng) for _ in range(200)} == {7, 93}
    for how in ({"top_k": 3}, {"top_p": 0.99}, {"min_p": 0.1}, {"typical_p": 0.99}):
        assert {sample_token(logits, 1.0, rng, **how) for _ in range(50)} == {7, 93}


def test_huge_temperature_is_uniform() -> None:
    rng = np.random.default_rng(0)
    assert {sample_token([0.0, 50.0, -50.0], 1e300, rng) for _ in range(100)} == {0, 1, 2}


def test_a_seed_and_its_generator_draw_alike() -> None:
    logits = np.linspace(0, 1, 50)
    assert sample_token(logits, 1.0, 12) == sample_token(logits, 1.0, np.random.default_rng(12))


def test_a_draw_takes_one_number_of_the_generator() -> None:
    """So that a seed means the same place in the text whatever the steps before it did."""
    for how in ({}, {"top_k": 1}, {"top_p": 0.1}, {"typical_p": 0.5}):
        rng, other = np.random.default_rng(5), np.random.default_rng(5)
        sample_token(LOGITS, 1.0, rng, **how)
        other.random()
        assert rng.random() == other.random()


def test_the_last_token_can_be_drawn_and_never_one_behind_it() -> None:
    class Last(np.random.Generator):
        def random(self, *_: object, **__: object) -> float:  # type: ignore[override]
            return math.nextafter(1.0, 0.0)

    rng = Last(np.random.PCG64(0))
    for size in (1, 3, 50257):
        assert sample_token(np.zeros(size), 1.0, rng) == size - 1
        assert sample_token(np.zeros(size), 1.0, rng, top_k=2) == min(size, 2) - 1


# A sequence.


def test_a_sampler_counts_what_it_has_drawn() -> None:
    """Greedy over [3, 2, 1]: each token costs 1.5 from when it was first drawn."""
    sampler = Sampler(Sampling(frequency_penalty=1.5), prompt=[0, 1, 2])
    logits = np.array([3.0, 2.0, 1.0], np.float32)
    # 3 2 1 → 1.5 2 1 → 1.5 .5 1 → 0 .5 1 → 0 .5 -.5 → 0 -1 -.5
    assert [sampler(logits) for _ in range(6)] == [0, 1, 0, 2, 1, 0]
    assert logits.tolist() == [3.0, 2.0, 1.0]


def test_a_sampler_of_a_seed_goes_its_own_way() -> None:
    wishes = Sampling(temperature=1.0, seed=3)
    alone, one, other = (Sampler(wishes, []) for _ in range(3))
    want = [alone(LOGITS) for _ in range(20)]
    turns = [(one(LOGITS), other(LOGITS)) for _ in range(20)]
    assert [a for a, _ in turns] == [b for _, b in turns] == want


def test_greedy_looks_behind_the_penalties() -> None:
    rng, row = np.random.default_rng(0), np.array([1.0, 3.0, 2.0], np.float32)
    for how, want in (
        ({}, 1),
        ({"logit_bias": {1: -INF}}, 2),
        ({"logit_bias": {0: 5.0}}, 0),
        ({"presence_penalty": 1.5}, 2),
        ({"repetition_penalty": 2.0}, 2),
        ({"typical_p": 0.01, "top_k": 1}, 1),  # filters leave greedy alone
    ):
        assert choose(row, Sampling(**how), History([], [1]), rng) == want


# Refusals.


@pytest.mark.parametrize(
    ("temperature", "message"),
    [
        (-0.1, "temperature: expected a finite number ≥ 0, got -0.1"),
        (math.nan, "temperature: expected a finite number ≥ 0, got nan"),
        (math.inf, "temperature: expected a finite number ≥ 0, got inf"),
        ("1", "temperature: expected a number ≥ 0, got '1'"),
        (None, "temperature: expected a number ≥ 0, got None"),
        (True, "temperature: expected a number ≥ 0, got True"),
    ],
)
def test_bad_temperatures(temperature: float, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        sample_token([0.0, 1.0], temperature)
    assert str(caught.value) == message


def test_bad_steps() -> None:
    with pytest.raises(
        RequestError, match=r"top_p: expected a finite number from 0 to 1, got 1\.5"
    ):
        sample_token([0.0, 1.0], 1.0, 1, top_p=1.5)
    with pytest.raises(RequestError, match="unknown argument 'top_n'; expected some of logit_bias"):
        sample_token([0.0, 1.0], 1.0, 1, top_n=1)
    with pytest.raises(RequestError, match=r"logit_bias: 2 is outside the vocabulary \[0, 2\)"):
        sample_token([0.0, 1.0], logit_bias={2: 1})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_overflowed_logits_are_refused(bad: float, temperature: float) -> None:
    with pytest.raises(RequestError, match=f"the largest is {bad} at 2; .* overflowed"):
        sample_token([0.0, 1.0, bad, 5.0], temperature, 1)
    with pytest.raises(RequestError, match="the largest is -inf at 0"):
        sample_token([-math.inf, -math.inf])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_token_left_is_refused(temperature: float) -> None:
    banned = {0: -INF, 1: -INF}
    with pytest.raises(RequestError, match="after penalties and logit_bias the largest is -inf"):
        sample_token([0.0, 1.0], temperature, 1, logit_bias=banned)
    wishes = Sampling(repetition_penalty=1e-300, temperature=temperature)
    with pytest.raises(RequestError, match=r"is inf at 1\. .*nearer to 1 than 1e-300"):
        choose(np.float32([0.0, 1.0]), wishes, History([1]), np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(0,), (1, 4), ()])
def test_one_row_is_expected(shape: tuple[int, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        sample_token(np.zeros(shape))
    assert str(caught.value) == f"logits: expected one row [V], got shape {list(shape)}"
