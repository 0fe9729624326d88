"""Pauses that are owed: a duty is held whatever the pieces, and errors of timers do not add up."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapwing.power.pacing.debt import MAX_CARRIED_S, MAX_PAUSE_S, Debt


@given(st.floats(0.05, 1.0), st.integers(0, 2**32))
def test_a_duty_is_held_over_uneven_pieces_and_sloppy_timers(duty: float, seed: int) -> None:
    chance = random.Random(seed)
    pieces = [10 ** chance.uniform(-3, -0.5) for _ in range(50)]
    debt, worked_s, slept_s = Debt(), 0.0, 0.0
    for seconds in pieces:
        debt.work(seconds, duty)
        worked_s += seconds
        left_s = debt.pause_s
        while left_s > 0.0:  # in slices, as Pauses does
            slice_s = min(left_s, MAX_PAUSE_S) * chance.uniform(0.9, 1.2)
            debt.slept(slice_s)
            left_s -= slice_s
            slept_s += slice_s
    owed_s = worked_s * (1 - duty) / duty
    # What is open at the end: at most a pause's credit, or the debt that may be carried.
    assert -MAX_PAUSE_S <= owed_s - slept_s <= MAX_CARRIED_S + max(pieces) / duty


def test_a_slow_first_token_is_not_slept_for_again_and_again() -> None:
    """power.md §2: half a second, then forty tokens of 20 ms at 50 %: 2.7 s, not 6."""
    debt, wall_s, longest_s = Debt(), 0.0, 0.0
    for seconds in (0.5, *[0.02] * 40):
        wall_s += debt.pause_s + seconds
        longest_s = max(longest_s, debt.pause_s)
        debt.slept(debt.pause_s)
        debt.work(seconds, 0.5, spread=seconds == 0.5)
    assert wall_s == pytest.approx(2.6, abs=0.1)
    assert longest_s <= MAX_PAUSE_S


def test_pieces_that_owe_more_than_a_pause_are_paid_at_once() -> None:
    debt = Debt()
    debt.work(0.3, 0.25)
    assert debt.pause_s == pytest.approx(0.9)  # in slices: see Pauses


def test_old_debt_is_forgiven_beyond_a_second() -> None:
    debt = Debt()
    for _ in range(50):
        debt.work(0.2, 0.5)  # nothing is ever paid
    assert debt.owed_s <= MAX_CARRIED_S + 0.2
    assert debt.pause_s == pytest.approx(0.2)


def test_rest_pays_and_leaves_no_credit() -> None:
    debt = Debt()
    debt.work(0.1, 0.5)
    debt.rested(0.04)
    assert debt.owed_s == pytest.approx(0.06)
    debt.rested(10.0)
    assert debt.owed_s == 0.0
    debt.slept(0.05)
    debt.rested(1.0)
    assert debt.owed_s == pytest.approx(-0.05)


def test_small_debts_are_gathered() -> None:
    debt, paused = Debt(), []
    for _ in range(100):
        debt.work(0.001, 0.5)
        if debt.pause_s:
            paused.append(debt.pause_s)
            debt.slept(debt.pause_s)
    assert len(paused) == 10
    assert sum(paused) == pytest.approx(0.1)


def test_full_duty_owes_nothing() -> None:
    debt = Debt()
    debt.work(5.0, 1.0)
    assert debt.pause_s == 0.0
