"""The asking side of a worker: starts it, speaks to it, stops it while others are measured."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lapwing.bench.measure.memory import Memory, cpu_seconds, memory
from lapwing.bench.measure.quiet import Watch
from lapwing.bench.measure.worker import Unavailable

MAIN = Path(__file__).with_name("worker_main.py")
POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")  # libraries' own
PATIENCE_S = 1800  # for the longest single request, an export


class Worker:
    """One process. Between requests it is stopped, so that it cannot disturb another."""

    def __init__(
        self,
        role: Sequence[str],
        log: Path,
        *,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        threads: int | None = None,
    ) -> None:
        """role: the module of its handler, and arguments. threads: of the pools of libraries."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._stopped = False
        pools = {} if threads is None else dict.fromkeys(POOLS, str(threads))
        began_s = time.perf_counter()
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [python, str(MAIN), *role],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **pools, "HF_HUB_OFFLINE": "1", **(environment or {})},
                start_new_session=True,  # Ctrl-C is for the one who asks
            )
        self._buffer = b""
        self._read(60)
        self.startup_s = time.perf_counter() - began_s

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Its answer. Raises Unavailable with the reason, also for one that has died."""
        self._resume()
        assert self._process.stdin is not None
        line = json.dumps({"do": do, **arguments}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError:
            raise Unavailable(self._death()) from None
        told = self._read(PATIENCE_S)
        self._stop()
        for key in ("unavailable", "failed"):
            if key in told:
                raise Unavailable(told[key])
        return told

    def _read(self, patience_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        until_s = time.monotonic() + patience_s
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([fd], [], [], max(0, until_s - time.monotonic()))
            if not ready:
                self._process.kill()
                raise Unavailable(f"no answer within {patience_s:.0f} s")
            piece = os.read(fd, 1 << 16)
            if not piece:
                raise Unavailable(self._death())
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def _death(self) -> str:
        code = self._process.wait()
        said = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"the process ended with {how}; last words: {said[-1] if said else 'none'}"

    @property
    def alive(self) -> bool:
        """False after a crash."""
        return self._process.poll() is None

    def time(self) -> tuple[float, bool]:
        """Seconds of what is prepared, and whether others used the machine meanwhile."""
        watch = Watch(self._process.pid)
        seconds = float(self.ask("time")["seconds"])
        return seconds, watch.disturbed

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def memory(self) -> Memory:
        """As the system counts it now."""
        return memory(self._process.pid)

    def idle_share(self, seconds: float) -> float | None:
        """Processor time over time, while it runs with nothing to do."""
        self._resume()
        before = cpu_seconds(self._process.pid)
        time.sleep(seconds)
        after = cpu_seconds(self._process.pid)
        self._stop()
        return None if before is None or after is None else (after - before) / seconds

    def _stop(self) -> None:
        if hasattr(signal, "SIGSTOP") and not self._stopped:
            self._process.send_signal(signal.SIGSTOP)
            self._stopped = True

    def _resume(self) -> None:
        if self._stopped:
            self._process.send_signal(signal.SIGCONT)
            self._stopped = False

    def close(self) -> None:
        """Ends the process."""
        self._resume()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
