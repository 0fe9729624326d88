"""The thread that looks once a second while there is work, and sleeps for good while there is none.

Parked, it waits without a timeout: an idle process has no wake-ups.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

PERIOD_S = 1.0
LEAVE_S = 0.5  # a look that hangs is left behind

log = logging.getLogger("lapwing.power")


class Watched(Protocol):
    """What is called, from the thread alone."""

    def tick(self) -> None:
        """Once a second."""

    def busy(self) -> bool:
        """Whether there has been work lately."""

    def park(self) -> None:
        """Before the thread goes to sleep."""


class Watcher:
    """Of one pacer, which it does not keep alive; its thread begins with the first `wake`."""

    def __init__(self, watched: Watched, period_s: float = PERIOD_S) -> None:
        self._watched: Callable[[], Watched | None] = weakref.ref(watched)
        self.period_s = period_s
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.awake = False
        self._ended = False  # told to stop, or failed
        weakref.finalize(watched, self._leave)

    def wake(self) -> None:
        """From any thread; costs a look at a flag while it is awake."""
        if self.awake or self._ended:
            return
        with self._changed:
            self.awake = True
            if self._thread is None or not self._thread.is_alive():  # a fork leaves none
                self._thread = threading.Thread(
                    target=self._run, name="lapwing governor", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def stop(self) -> None:
        """The thread ends; it is not waited for."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _leave(self) -> None:
        """The watched is gone, or the interpreter ends: not in the middle of a look."""
        self.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(LEAVE_S)

    def _run(self) -> None:
        due_s = time.monotonic()
        while True:
            with self._changed:
                if not self.awake:
                    self._changed.wait_for(lambda: self.awake or self._ended)
                    due_s = time.monotonic()
                if self._ended:
                    return
            if not self._look():
                return
            due_s = max(due_s + self.period_s, time.monotonic())
            with self._changed:
                if self.awake and not self._ended:
                    self._changed.wait_for(lambda: self._ended, due_s - time.monotonic())

    def _look(self) -> bool:
        """One tick, or the way to sleep; False where nobody is watched any more."""
        watched = self._watched()
        if watched is None:
            return False
        try:
            if watched.busy():
                watched.tick()
            else:
                watched.park()
                self.awake = False
        except Exception:  # whatever a sensor does, work goes on
            log.exception("the governor failed; what it last decided stays")
            self.awake, self._ended = False, True
            return False
        return True
