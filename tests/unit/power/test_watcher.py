"""The thread that looks: while there is work, and not for longer."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref

import pytest

from lapwing.power.pacing.watcher import Watcher


class Work:
    """Busy for so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks, self.ticks, self.parks = looks, 0, 0
        self.parked = threading.Event()

    def busy(self) -> bool:
        return self.ticks < self.looks

    def tick(self) -> None:
        self.ticks += 1

    def park(self) -> None:
        self.parks += 1
        self.parked.set()


def thread_of(watcher: Watcher) -> threading.Thread:
    assert watcher._thread is not None
    return watcher._thread


def test_no_thread_before_there_is_work() -> None:
    assert Watcher(Work(1))._thread is None


def test_it_looks_while_there_is_work_and_then_sleeps_for_good() -> None:
    work = Work(3)
    watcher = Watcher(work, period_s=0.01)
    watcher.wake()
    assert work.parked.wait(5.0)
    time.sleep(0.1)  # ten periods: nobody looks any more
    assert (work.ticks, work.parks, watcher.awake) == (3, 1, False)
    work.looks, _ = 5, work.parked.clear()
    watcher.wake()
    assert work.parked.wait(5.0)
    assert (work.ticks, work.parks) == (5, 2)
    watcher.stop()
    thread_of(watcher).join(5.0)
    assert not thread_of(watcher).is_alive()


def test_looks_are_a_period_apart() -> None:
    work = Work(1000)
    watcher = Watcher(work, period_s=0.1)
    watcher.wake()
    time.sleep(0.55)
    watcher.stop()
    assert 4 <= work.ticks <= 6


def test_a_failure_is_told_once_and_the_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Work):
        def tick(self) -> None:
            raise RuntimeError("a sensor nobody thought of")

    work = Broken(9)
    watcher = Watcher(work, period_s=0.01)
    with caplog.at_level(logging.ERROR, "lapwing.power"):
        watcher.wake()
        thread_of(watcher).join(5.0)
        for _ in range(100):
            watcher.wake()
        time.sleep(0.05)
    assert len(caplog.records) == 1
    assert not thread_of(watcher).is_alive()


def test_it_keeps_nobody_alive() -> None:
    work = Work(10**9)
    watcher, gone = Watcher(work, period_s=0.01), weakref.ref(work)
    watcher.wake()
    del work
    for _ in range(100):
        gc.collect()
        if gone() is None:
            break
        time.sleep(0.01)
    assert gone() is None
    thread_of(watcher).join(5.0)
    assert not thread_of(watcher).is_alive()
