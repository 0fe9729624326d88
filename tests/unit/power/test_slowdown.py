"""Slower than when cool, seen in token times alone."""

from __future__ import annotations

import math
import random

import pytest

from lapwing.power.governor.slowdown import BASELINE_TOKENS, Detector

NOISE = 0.06  # of a token's time, Gaussian, as in the study that set the alarm


def times_s(n: int, seed: int, *, slower: float = 0.0) -> list[float]:
    noise = random.Random(seed)
    return [0.05 * (1 + slower) * (1 + noise.gauss(0, NOISE)) for _ in range(n)]


def cool(seed: int = 0) -> Detector:
    detector = Detector()
    for at, token_s in enumerate(times_s(BASELINE_TOKENS, seed)):
        detector = detector.push(token_s, at)
    return detector


def tokens_to_alarm(detector: Detector, slower: float, seed: int, most: int = 2000) -> int | None:
    for at, token_s in enumerate(times_s(most, seed, slower=slower)):
        detector = detector.push(token_s, BASELINE_TOKENS + at)
        if detector.alarmed:
            return at + 1
    return None


@pytest.mark.parametrize(("slower", "within"), [(0.15, 32), (0.5, 8), (4.0, 3)])
def test_a_slowdown_is_found_soon(slower: float, within: int) -> None:
    found = [tokens_to_alarm(cool(seed), slower, 1000 + seed) for seed in range(50)]
    assert all(n is not None for n in found)
    assert sorted(n or 0 for n in found)[47] <= within  # 95 of 100


def test_steady_times_raise_no_alarm() -> None:
    """Less than one in an hour of 20 tokens a second."""
    assert tokens_to_alarm(cool(1), 0.0, 2, most=72_000) is None


def test_one_slow_token_is_no_slowdown() -> None:
    detector = cool()
    for at in range(200):
        detector = detector.push(2.0 if at % 50 == 0 else 0.05, BASELINE_TOKENS + at)
        assert not detector.alarmed


def test_longer_context_is_no_slowdown() -> None:
    detector = Detector()
    for context in range(0, 4000, 4):
        detector = detector.push(0.05 + 2e-5 * context, context)
        assert not detector.alarmed
    assert detector.slowdown == pytest.approx(0.0, abs=0.01)


def test_it_tells_how_much() -> None:
    assert Detector().slowdown is None  # no baseline yet
    detector = cool()
    for at, token_s in enumerate(times_s(200, 3, slower=0.5)):
        detector = detector.push(token_s, at)
    assert detector.slowdown == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("token_s", [0.0, -1.0, float("nan"), float("inf")])
def test_no_time_is_left_out(token_s: float) -> None:
    assert cool().push(token_s, 1) == cool()


def test_an_alarm_ends_when_the_speed_is_back() -> None:
    detector = cool()
    for at, token_s in enumerate(times_s(500, 3, slower=4.0) + times_s(60, 4)):
        detector = detector.push(token_s, at)
    assert not detector.alarmed


def test_growth_that_bytes_explain_is_no_slowdown() -> None:
    """Over the first 64 positions it drowns in noise; over thousands it would look like heat."""
    chance, detector = random.Random(3), Detector()
    growth = 5e-5  # of the weights' bytes each position; its time counts 2.6-fold here
    for context in range(8000):
        true_s = 0.02 * (1 + 2.6 * growth * context)
        detector = detector.push(true_s * math.exp(chance.gauss(0, 0.06)), context, growth)
        assert not detector.alarmed, context
    for later in range(64):
        slow_s = 2.5 * 0.02 * (1 + 2.6 * growth * 8000)
        detector = detector.push(slow_s, 8000 + later, growth)
    assert detector.alarmed


def test_a_new_answer_behind_a_long_one_is_no_slowdown() -> None:
    detector = Detector()
    for context in range(4000, 4064):
        detector = detector.push(0.03, context, 1e-4)
    for context in range(200):
        detector = detector.push(0.03, context, 1e-4)
    assert not detector.alarmed
