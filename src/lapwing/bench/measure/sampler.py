"""Memory of a process over time, sampled every millisecond by another process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

MAIN = Path(__file__).with_name("sampler_main.py")
PERIOD_S = 0.001
NOT_TOLD = "this system does not tell what memory a process holds (there is no /proc/PID/status)"


class Point(NamedTuple):
    """One moment. pss_bytes: None where it was not looked at."""

    time_s: float
    phase: str
    rss_bytes: int
    anon_bytes: int
    file_bytes: int
    pss_bytes: int | None


@dataclass(frozen=True)
class Amount:
    """Of one kind of memory in one phase, in bytes."""

    peak: int
    mean: float
    first: int
    last: int
    samples: int


@dataclass(frozen=True)
class Sampled:
    """Phases → kinds (rss, pss, anon, file, shmem, swap) → amounts; reason: why there are none."""

    phases: Mapping[str, Mapping[str, Amount]] = field(default_factory=dict)
    timeline: tuple[Point, ...] = ()
    reason: str | None = None

    def get(self, phase: str, kind: str) -> Amount | None:
        """None where it was not seen."""
        return self.phases.get(phase, {}).get(kind)

    def peak(self, kind: str, *phases: str) -> int | None:
        """The most in any of these phases."""
        found = [a.peak for phase in phases if (a := self.get(phase, kind)) is not None]
        return max(found, default=None)


class Sampler:
    """Watches one process from `start` on. Every call returns when the watcher has followed it."""

    def __init__(self, pid: int, period_s: float = PERIOD_S) -> None:
        self._pid, self._period_s = pid, period_s
        self._process: subprocess.Popen[bytes] | None = None
        self.reason: str | None = None

    def start(self) -> None:
        """Starts watching nothing yet; `reason` says why it cannot."""
        if not Path(f"/proc/{self._pid}/status").exists():
            self.reason = NOT_TOLD
            return
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(MAIN), str(self._pid), str(self._period_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._answer()

    def phase(self, name: str) -> None:
        """What is seen from here on belongs to that phase."""
        self._tell(f"phase {name}")

    def pause(self) -> None:
        """Nobody looks until the next phase."""
        self._tell("pause")

    def stop(self) -> Sampled:
        """What was seen."""
        told = self._tell("stop")
        self.close()
        if not told:
            return Sampled(reason=self.reason)
        seen: Mapping[str, Any] = json.loads(told)
        phases = {
            phase: {
                kind: Amount(
                    int(one["peak"]),
                    one["sum"] / one["n"],
                    int(one["first"]),
                    int(one["last"]),
                    int(one["n"]),
                )
                for kind, one in kinds.items()
            }
            for phase, kinds in seen["phases"].items()
        }
        return Sampled(phases, tuple(Point(*point) for point in seen["timeline"]))

    def _tell(self, line: str) -> bytes:
        if self._process is None:
            return b""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            return self._answer()
        except OSError:
            return self._lost()

    def _answer(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline() or self._lost()

    def _lost(self) -> bytes:
        self.close()
        self.reason = "the process that watched the memory ended early"
        return b""

    def close(self) -> None:
        """Ends the watcher."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Sampler:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
