"""Pauses between pieces of work, on a clock that is told; a real one for waking up."""

from __future__ import annotations

import threading
import time

import pytest

from lapwing.power.pacing.debt import MAX_PAUSE_S
from lapwing.power.pacing.pauses import Pauses


class Clock:
    """Moves only where it is told, and by what is waited for."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        if event.is_set():
            return True
        self.now_s += seconds + 0.001  # timers are late
        return False

    def work(self, pauses: Pauses, seconds: float, duty: float) -> None:
        pauses.pay(duty)
        began_s = self.now_s
        self.now_s += seconds
        pauses.worked(began_s, duty)


@pytest.mark.parametrize("duty", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("piece_s", [0.0004, 0.03, 0.4])
def test_the_share_of_time_that_is_worked(duty: float, piece_s: float) -> None:
    clock = Clock()
    pauses, began_s = Pauses(clock, clock.wait), clock.now_s
    while clock.now_s - began_s < 60.0:
        clock.work(pauses, piece_s, duty)
    assert pauses.worked_s / (clock.now_s - began_s) == pytest.approx(duty, abs=0.01)
    assert max(clock.waits) <= MAX_PAUSE_S
    assert pauses.longest_s <= MAX_PAUSE_S + 0.0011


def test_full_duty_never_waits_and_forgives_what_was_owed() -> None:
    clock = Clock()
    pauses = Pauses(clock, clock.wait)
    clock.work(pauses, 0.2, 0.5)
    clock.work(pauses, 0.2, 1.0)
    clock.work(pauses, 0.2, 1.0)
    assert clock.waits == []


def test_a_caller_that_takes_its_time_has_rested_already() -> None:
    clock = Clock()
    pauses = Pauses(clock, clock.wait)
    clock.work(pauses, 0.1, 0.5)
    clock.now_s += 0.1
    clock.work(pauses, 0.1, 0.5)
    assert clock.waits == []


def test_sampling_belongs_to_the_piece_before_it() -> None:
    clock = Clock()
    pauses = Pauses(clock, clock.wait)
    clock.work(pauses, 0.03, 0.5)
    clock.now_s += 0.02
    pauses.went_on(0.5)
    assert pauses.worked_s == pytest.approx(0.05)
    assert pauses.last_s == pytest.approx(0.03)
    clock.work(pauses, 0.03, 0.5)
    assert clock.waits == [pytest.approx(0.05)]


@pytest.mark.parametrize("duty", [0.1, 0.5])
def test_long_tokens_and_their_sampling_hold_the_share(duty: float) -> None:
    clock = Clock()
    pauses, began_s = Pauses(clock, clock.wait), clock.now_s
    while clock.now_s - began_s < 60.0:
        clock.work(pauses, 0.4, duty)
        clock.now_s += 0.01
        pauses.went_on(duty)
    assert pauses.worked_s / (clock.now_s - began_s) == pytest.approx(duty, abs=0.01)


def test_ctrl_c_in_a_pause_counts_what_was_slept() -> None:
    clock = Clock()

    def interrupted(event: threading.Event, seconds: float) -> bool:
        clock.now_s += 0.01
        raise KeyboardInterrupt

    pauses = Pauses(clock, interrupted)
    clock.work(pauses, 0.05, 0.5)
    with pytest.raises(KeyboardInterrupt):
        pauses.pay(0.5)
    assert pauses.paused_s == pytest.approx(0.01)


def test_a_nudge_ends_a_pause_at_once_and_the_rest_stays_owed() -> None:
    pauses = Pauses()
    pauses.worked(time.perf_counter() - 30.0, 0.5)  # thirty seconds of pauses
    thread = threading.Thread(target=lambda: pauses.pay(0.5))
    thread.start()
    time.sleep(0.15)
    began_s = time.perf_counter()
    pauses.nudge()
    thread.join(5.0)
    assert not thread.is_alive()
    assert time.perf_counter() - began_s < 0.12
    assert 0.1 < pauses.paused_s < 5.0
    began_s = time.perf_counter()
    pauses.nudge()  # while nobody pauses: the next pause is taken all the same
    pauses.close()
    pauses.pay(0.5)  # closed: none is any more
    assert time.perf_counter() - began_s < 1.0
