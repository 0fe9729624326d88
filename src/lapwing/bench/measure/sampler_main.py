"""Watches the memory of another process: `python -I sampler_main.py PID PERIOD_S`.

Lines come in: `phase NAME` begins one, `pause` stops looking, `stop` asks for what was seen. Each
is answered with a line; the last is one JSON object. A sample is taken at either end of a phase, so
that every phase has some. Proportional set sizes cost the watched process page-table walks; they
are looked at so seldom that they take no more than a tenth of the time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import sys
import time

FIELDS = {
    "VmRSS": "rss",
    "RssAnon": "anon",
    "RssFile": "file",
    "RssShmem": "shmem",
    "VmSwap": "swap",
}
STATUS = re.compile(rb"^(VmRSS|RssAnon|RssFile|RssShmem|VmSwap):\s+(\d+) kB", re.MULTILINE)
PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)
PSS_SHARE, PSS_PERIOD_S = 0.1, 0.02
MOST_POINTS = 4000  # of the timeline; then every second one goes


class Watcher:
    """What was seen so far. Times are seconds since it began."""

    def __init__(self, pid: int) -> None:
        self._status = os.open(f"/proc/{pid}/status", os.O_RDONLY)
        self._rollup: int | None = None
        with contextlib.suppress(OSError):
            self._rollup = os.open(f"/proc/{pid}/smaps_rollup", os.O_RDONLY)
        self._began_s = time.monotonic()
        self._pss_next_s = 0.0
        self._phase = ""
        self._stride, self._count = 1, 0
        self.phases: dict[str, dict[str, dict[str, float]]] = {}
        self.timeline: list[tuple[float, str, int, int, int, int | None]] = []

    def begin(self, phase: str) -> None:
        """The samples from here on are of that phase."""
        if self._phase:
            self.look(exact=True)
        self._phase = phase
        if phase:
            self.phases.setdefault(phase, {})
            self.look(exact=True)

    def look(self, exact: bool = False) -> None:
        """One sample; `exact`: with its proportional size, whatever that costs."""
        now_s = time.monotonic() - self._began_s
        try:
            text = os.pread(self._status, 4096, 0)
        except OSError:  # it has ended
            return
        seen = {FIELDS[k.decode()]: 1024 * int(v) for k, v in STATUS.findall(text)}
        if "rss" not in seen:
            return
        pss = None
        if self._rollup is not None and (exact or now_s >= self._pss_next_s):
            pss = self._look_at_pss(now_s)
        if pss is not None:
            seen["pss"] = pss
        for name, value in seen.items():
            self._count_in(name, value)
        if exact or self._count % self._stride == 0:
            self.timeline.append(
                (now_s, self._phase, seen["rss"], seen.get("anon", 0), seen.get("file", 0), pss)
            )
            if len(self.timeline) > MOST_POINTS:
                self.timeline = self.timeline[::2]
                self._stride *= 2
        self._count += 1

    def _look_at_pss(self, now_s: float) -> int | None:
        assert self._rollup is not None
        began_s = time.monotonic()
        try:
            found = PSS.search(os.pread(self._rollup, 4096, 0))
        except OSError:
            return None
        took_s = time.monotonic() - began_s
        self._pss_next_s = now_s + max(PSS_PERIOD_S, took_s / PSS_SHARE)
        return 1024 * int(found[1]) if found else None

    def _count_in(self, name: str, value: int) -> None:
        one = self.phases[self._phase].get(name)
        if one is None:
            one = {"n": 0, "sum": 0, "peak": 0, "first": value, "last": value}
            self.phases[self._phase][name] = one
        one["n"] += 1
        one["sum"] += value
        one["peak"] = max(one["peak"], value)
        one["last"] = value


def main(pid: int, period_s: float) -> None:
    """Looks until it is told to stop, or the one who asks is gone."""
    watcher, running = Watcher(pid), False
    print("ready", flush=True)
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], period_s if running else None)
        if not ready:
            watcher.look()
            continue
        piece = os.read(0, 4096)
        if not piece:
            return
        buffer += piece
        while b"\n" in buffer:
            line, _, buffer = buffer.partition(b"\n")
            word, _, phase = line.decode().partition(" ")
            watcher.begin(phase if word == "phase" else "")
            running = word == "phase"
            if word == "stop":
                print(json.dumps({"phases": watcher.phases, "timeline": watcher.timeline}))
                return
            print("ok", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
