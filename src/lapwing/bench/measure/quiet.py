"""Whether others used the machine while something was timed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from lapwing.bench.measure.memory import cpu_seconds

OTHERS_SHARE = 0.2  # of one core: more than that, for the time of a sample, disturbs it
TICKS = 2  # what the counters may be off by


class Watch:
    """Counts processor time of everything but one process, from its making on."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._pid, self._proc = pid, proc
        self._began = self._others()
        self._began_s = time.perf_counter()

    @property
    def disturbed(self) -> bool:
        """False, too, where the system does not tell."""
        now, elapsed_s = self._others(), time.perf_counter() - self._began_s
        if self._began is None or now is None:
            return False
        slack_s = TICKS * (os.cpu_count() or 1) / os.sysconf("SC_CLK_TCK")
        return now - self._began > OTHERS_SHARE * elapsed_s + slack_s

    def _others(self) -> float | None:
        """Seconds of all processors, without this process's."""
        mine = cpu_seconds(self._pid, self._proc)
        try:
            fields = (self._proc / "stat").read_text().splitlines()[0].split()[1:]
        except OSError:
            return None
        user, nice, system, _, _, irq, softirq = map(int, fields[:7])
        busy = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
        return None if mine is None else busy - mine
