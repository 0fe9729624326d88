"""Work and pauses in turn: of all threads of a model together, and never longer than needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lapwing.power.pacing.debt import MAX_PAUSE_S, Debt

Clock = Callable[[], float]
# Waits so long, or until an event is set → whether it was.
Wait = Callable[[threading.Event, float], bool]


class Pauses:
    """Times pieces of work, and sleeps what they owe before the next one.

    A sleep is one system call on an event: compute threads are parked, nothing spins, and `nudge`
    ends it at once.
    """

    def __init__(
        self,
        clock: Clock = time.perf_counter,
        wait: Wait = threading.Event.wait,
    ) -> None:
        self.worked_s = 0.0
        self.paused_s = 0.0
        self.longest_s = 0.0  # of the pauses
        self.last_s = 0.0  # of the pieces of work
        self.ended_s: float | None = None  # the last piece
        self._debt, self.clock, self._wait = Debt(), clock, wait
        self._event = threading.Event()
        self.nudges = 0
        self.closed = False

    def pay(self, duty: float) -> None:
        """Sleeps what is owed, in pieces of at most MAX_PAUSE_S; at full duty there is no debt."""
        debt, ended_s = self._debt, self.ended_s
        if ended_s is not None:  # the caller took its time with the last token
            debt.rested(self.clock() - ended_s)
        if duty >= 1.0:
            debt.owed_s = min(debt.owed_s, 0.0)
            return
        left_s, nudges = debt.pause_s, self.nudges
        while left_s > 0.0 and nudges == self.nudges and not self.closed:
            left_s -= self.sleep(min(left_s, MAX_PAUSE_S))

    def sleep(self, seconds: float) -> float:
        """One pause → its length as measured."""
        began_s = self.clock()
        try:
            if self._wait(self._event, seconds) and not self.closed:
                self._event.clear()
        finally:  # Ctrl-C comes here
            slept_s = self.clock() - began_s
            self.paused_s += slept_s
            self.longest_s = max(self.longest_s, slept_s)
            self._debt.slept(slept_s)
        return slept_s

    def worked(self, began_s: float, duty: float, *, spread: bool = False) -> float:
        """A piece of work has ended → its seconds. spread: see Debt.work."""
        self.ended_s = now_s = self.clock()
        seconds = now_s - began_s
        self.worked_s += seconds
        self.last_s = seconds
        if duty < 1.0:
            self._debt.work(seconds, duty, spread=spread)
        return seconds

    def went_on(self, duty: float) -> None:
        """The last piece ends only now: sampling, say, belongs to it."""
        if self.ended_s is None:
            return
        now_s = self.clock()
        seconds, self.ended_s = now_s - self.ended_s, now_s
        self.worked_s += seconds  # last_s stays that of the pass
        if 0.0 < duty < 1.0:
            self._debt.more(seconds, duty)

    def nudge(self) -> None:
        """From any thread: ends the pause that is going on; what it left is owed still."""
        self.nudges += 1
        self._event.set()

    def close(self) -> None:
        """There are no pauses any more."""
        self.closed = True
        self._event.set()
