"""How busy other processes keep the machine's CPUs.

Facts: man 5 proc, /proc/stat: ticks since boot, of all CPUs together. What a hypervisor gave to
other machines (steal) is nobody's here: it counts as time that there was, not as load.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from lapwing.power.sensors.sensor import Clock, why
from lapwing.power.sensors.tree import Tree

STAT = "proc/stat"
LEAST_S = 0.25  # between two readings: a tick is 0.01 s, so it is 4 % of one CPU
TICKS_PER_S = 100  # USER_HZ, where the system does not tell


class OtherLoad:
    """Between two readings, the share of all CPUs that others than this process had.

    own_s: CPU seconds of this process so far. reason: why the last reading was None.
    """

    def __init__(
        self,
        tree: Tree,
        clock: Clock = time.monotonic,
        own_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._tree, self._clock = tree, clock
        self._own_s = own_s if tree.own else float  # a copy's processes are others, all of them
        self._last: _Moment | None = None
        self._share: float | None = None
        self.reason: str | None = "it takes two readings"

    def read(self) -> float | None:
        """0 to 1, since the reading before; sooner than LEAST_S after it, what that one said."""
        now_s = self._clock()
        last = self._last
        if last is not None and now_s - last.time_s < LEAST_S:
            return self._share
        try:
            now = _Moment(now_s, *_seconds(self._tree.text(STAT)), self._own_s())
        except (OSError, ValueError) as error:
            self._last, self._share, self.reason = None, None, f"{STAT}: {why(error)}"
            return None
        self._last, self._share, self.reason = now, None, "it takes two readings"
        if last is not None and now.all_s > last.all_s:  # not so where CPUs were taken away
            others_s = (now.busy_s - last.busy_s) - (now.own_s - last.own_s)
            self._share = min(max(others_s / (now.all_s - last.all_s), 0.0), 1.0)
            self.reason = None
        return self._share


class _Moment(NamedTuple):
    time_s: float
    busy_s: float
    all_s: float
    own_s: float


def _seconds(text: str) -> tuple[float, float]:
    """Of all CPUs since boot: busy, and altogether. Raises ValueError."""
    match = re.match(r"cpu((?: +[0-9]{1,20}){8})", text, re.ASCII)
    if match is None:
        raise ValueError("its first line is not 'cpu' and eight numbers")
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, match[1].split())
    busy = user + nice + system + irq + softirq
    hz = _ticks_per_s()
    return busy / hz, (busy + idle + iowait + steal) / hz


def _ticks_per_s() -> int:
    try:
        return os.sysconf("SC_CLK_TCK")
    except (AttributeError, OSError, ValueError):
        return TICKS_PER_S
