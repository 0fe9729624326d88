"""Linux: niceness of every thread, and the power-saver profile while it is worth it.

A thread's niceness is its own, and new threads inherit it. Who has no CAP_SYS_NICE comes back from
a higher one only as far as RLIMIT_NICE allows, which is not at all by default. So `efficient` is
nice only where a trial thread comes back: a request that follows must not be slower. `background`
is a job's and always nice; it is SCHED_BATCH, too, which wakes up behind others and from which
everyone comes back (SCHED_IDLE: no more than from a niceness). With autogroup, niceness counts
against what runs in the same session alone.

The profile slows all of the machine, so `background` does not hold it: others are not to notice,
and no job is admitted while the system saves power, so it would stop itself. `powerprofilesctl
launch` would hold it, too, but says nothing when it fails, which it does wherever another Python
than the system's comes first (pyenv issue 3200).

Facts: man 7 sched, man 2 setpriority; upower.pages.freedesktop.org/power-profiles-daemon: a hold
ends with its caller's connection.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from lapwing.power.governor.command import Qos
from lapwing.power.pacing.dbus import Connection
from lapwing.power.pacing.hints import SystemHints, tried

STEPS: dict[Qos, int] = {"normal": 0, "efficient": 5, "background": 15}  # of niceness
LEAST = 19
SERVICES = (
    "org.freedesktop.UPower.PowerProfiles",
    "net.hadess.PowerProfiles",
)  # since 0.20; before
REASON = "a language model is to save power"  # some daemons take letters and spaces alone
TASKS = Path("/proc/self/task")


class Threads(Protocol):
    """Those of this process. All but `way_back` raise OSError."""

    def ids(self) -> set[int]: ...

    def niceness(self, thread: int) -> int: ...

    def set_niceness(self, thread: int, value: int) -> None: ...

    def is_batch(self, thread: int) -> bool | None:
        """None: neither that nor the ordinary policy."""
        ...

    def set_batch(self, thread: int, on: bool) -> None: ...

    def way_back(self) -> bool:
        """Whether a thread that is nicer can come back."""
        ...


class OwnThreads:
    """See Threads."""

    def ids(self) -> set[int]:
        return {int(task.name) for task in TASKS.iterdir()}

    def niceness(self, thread: int) -> int:
        return os.getpriority(os.PRIO_PROCESS, thread)

    def set_niceness(self, thread: int, value: int) -> None:
        os.setpriority(os.PRIO_PROCESS, thread, value)

    def is_batch(self, thread: int) -> bool | None:
        policy = os.sched_getscheduler(thread)
        return {os.SCHED_OTHER: False, os.SCHED_BATCH: True}.get(policy)

    def set_batch(self, thread: int, on: bool) -> None:
        policy = os.SCHED_BATCH if on else os.SCHED_OTHER
        os.sched_setscheduler(thread, policy, os.sched_param(0))

    def way_back(self) -> bool:
        came_back = []

        def there_and_back() -> None:
            now = os.getpriority(os.PRIO_PROCESS, 0)
            try:
                os.setpriority(os.PRIO_PROCESS, 0, now + 1)  # as it was, where it is the least
                os.setpriority(os.PRIO_PROCESS, 0, now)
                came_back.append(True)
            except OSError:
                return

        trial = threading.Thread(target=there_and_back, name="lapwing trial")
        try:
            trial.start()
        except RuntimeError:  # there may be no more threads
            return False
        trial.join()
        return bool(came_back)


class _Before(NamedTuple):
    niceness: int
    is_batch: bool | None


class LinuxHints(SystemHints):
    """See Hints. hold: takes the power-saver profile; what it returns gives it back on `close`."""

    def __init__(
        self, threads: Threads | None = None, hold: Callable[[], Connection] | None = None
    ) -> None:
        super().__init__()
        self._threads = threads or OwnThreads()
        self._hold = hold or hold_power_saver
        self._held: Connection | None = None
        self._before: dict[int, _Before] = {}  # by thread, while anything is changed

    def change(self, last: Qos, qos: Qos) -> Iterator[str | None]:
        """See SystemHints."""
        if qos == "efficient" and not self._threads.way_back():
            yield "not nicer, for RLIMIT_NICE allows no way back"
            yield self._renice("normal")
        else:
            yield self._renice(qos)
        yield tried("power-saver profile", self._take if qos == "efficient" else self._give_back)

    def _renice(self, qos: Qos) -> str | None:
        if qos == "normal" and not self._before:
            return None
        stuck = set[int]()
        problem = tried("niceness", lambda: self._set_all(qos, stuck))
        if stuck:
            return f"niceness stays at {max(stuck)}, for RLIMIT_NICE allows no way back"
        if qos == "normal" and problem is None:
            self._before.clear()
        return problem

    def _set_all(self, qos: Qos, stuck: set[int]) -> None:
        """stuck: gets the niceness of threads that cannot come back."""
        new = self._threads.ids()
        if not self._before:
            self._before = {thread: b for thread in new if (b := self._now(thread)) is not None}
        done = set[int]()
        while new:
            for thread in new:
                try:
                    self._set(thread, qos, stuck)
                except ProcessLookupError:
                    continue  # it has ended
            done |= new
            new = self._threads.ids() - done  # what has begun meanwhile

    def _now(self, thread: int) -> _Before | None:
        try:
            return _Before(self._threads.niceness(thread), self._is_batch(thread))
        except ProcessLookupError:
            return None

    def _set(self, thread: int, qos: Qos, stuck: set[int]) -> None:
        # What has begun since has inherited: it belongs where the first thread was.
        before = self._before.setdefault(thread, self._before[min(self._before)])
        batch = qos == "background"
        if before.is_batch is False and self._is_batch(thread) is not batch:
            self._threads.set_batch(thread, batch)
        now, wanted = self._threads.niceness(thread), min(before.niceness + STEPS[qos], LEAST)
        try:
            if now != wanted:
                self._threads.set_niceness(thread, wanted)
        except PermissionError:
            stuck.add(now)

    def _is_batch(self, thread: int) -> bool | None:
        try:
            return self._threads.is_batch(thread)
        except ProcessLookupError:
            raise
        except OSError:  # musl has no such call
            return None

    def _take(self) -> None:
        self._held = self._held or self._hold()

    def _give_back(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()


def hold_power_saver() -> Connection:
    """Asks the daemon; the connection is the hold. Raises OSError."""
    connection = Connection()
    try:
        for service in SERVICES:
            path = "/" + service.replace(".", "/")
            try:
                connection.call(
                    service, path, service, "HoldProfile", "power-saver", REASON, "lapwing"
                )
                return connection
            except TimeoutError:
                raise
            except OSError as error:
                refused = error
        raise refused
    except BaseException:
        connection.close()
        raise
