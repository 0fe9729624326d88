"""Logits → one token."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lapwing import RequestError, sample_token

# 99.9999th percentile of χ² with 9 degrees of freedom: one run in a million exceeds it; the seed is
# fixed, so this run does or does not for ever.
CHI_SQUARE_9 = 46.0


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_frequencies_are_the_softmax(temperature: float) -> None:
    logits = np.array([1.0, 0.2, -0.5, 2.0, 1.9, 0.0, -1.0, 0.7, 1.1, 0.4], np.float32)
    weights = np.exp(logits.astype(np.float64) / temperature)
    draws = 20_000
    expected = draws * weights / weights.sum()
    rng = np.random.default_rng(1)
    counts = np.bincount([sample_token(logits, temperature, rng) for _ in range(draws)])
    assert ((counts - expected) ** 2 / expected).sum() < CHI_SQUARE_9


def test_temperature_zero_is_the_largest() -> None:
    assert sample_token([0.1, 3.0, -2.0, 2.9]) == 1
    assert sample_token(np.float16([1, 1, 1])) == 0  # the first of equals
    assert sample_token([-math.inf, -5.0, -math.inf]) == 1


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300, 5e-324])
def test_tiny_temperatures_are_greedy(temperature: float) -> None:
    for seed in range(20):
        assert sample_token([0.0, 1.0, 0.5, -3e38], temperature, seed) == 1


def test_equals_share_at_any_temperature() -> None:
    drawn = {sample_token([2.0, 5.0, 5.0, -1.0], 1e-200, seed) for seed in range(50)}
    assert drawn == {1, 2}


def test_impossible_tokens_are_never_drawn() -> None:
    logits = np.full(100, -np.inf, np.float32)
    logits[[7, 93]] = 0
    rng = np.random.default_rng(0)
    assert {sample_token(logits, 1.0, rng) for _ in range(200)} == {7, 93}


def test_huge_temperature_is_uniform() -> None:
    rng = np.random.default_rng(0)
    assert {sample_token([0.0, 50.0, -50.0], 1e300, rng) for _ in range(100)} == {0, 1, 2}


def test_a_seed_and_its_generator_draw_alike() -> None:
    logits = np.linspace(0, 1, 50)
    assert sample_token(logits, 1.0, 12) == sample_token(logits, 1.0, np.random.default_rng(12))


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


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_overflowed_logits_are_refused(bad: float, temperature: float) -> None:
    with pytest.raises(RequestError, match=f"the largest is {bad} at 2; .* overflowed"):
        sample_token([0.0, 1.0, bad, 5.0], temperature, 1)
    with pytest.raises(RequestError, match="the largest is -inf at 0"):
        sample_token([-math.inf, -math.inf])


@pytest.mark.parametrize("shape", [(0,), (1, 4), ()])
def test_one_row_is_expected(shape: tuple[int, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        sample_token(np.zeros(shape))
    assert str(caught.value) == f"logits: expected one row [V], got shape {list(shape)}"


def test_the_last_token_can_be_drawn_and_never_one_behind_it() -> None:
    class Last(np.random.Generator):
        def random(self, *_: object, **__: object) -> float:  # type: ignore[override]
            return math.nextafter(1.0, 0.0)

    rng = Last(np.random.PCG64(0))
    for size in (1, 3, 50257):
        assert sample_token(np.zeros(size), 1.0, rng) == size - 1
