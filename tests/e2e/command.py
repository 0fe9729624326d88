"""The command line as a user meets it: in a process of its own, piped or on a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lapwing
from lapwing.backends import topology

SOURCES = Path(lapwing.__file__).parents[1]
INHERITED = ("LAPWING_", "HF_", "XDG_", "NO_COLOR", "TERM", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True)
class Outcome:
    """What one process printed and how it ended."""

    out: str
    err: str
    code: int

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1, "one object, one line"
        return json.loads(self.out)


@dataclass
class User:
    """Someone with caches of their own; the hub is out of reach unless `env` says otherwise."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)
    sources: Path = SOURCES

    def environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(INHERITED)}
        own = {
            "PYTHONPATH": str(self.sources),
            "LAPWING_CACHE": str(self.home / "lapwing"),
            "HF_HOME": str(self.home / "hub"),
            "LAPWING_THREADS": str(topology.read().default),  # none are measured
            "LAPWING_BENCH_HISTORY": str(self.home / "bench.jsonl"),
            "HF_HUB_OFFLINE": "1",
            "TERM": "xterm",
            "OPENBLAS_NUM_THREADS": "2",
        }
        return inherited | own | self.env

    def types(self, *args: str, piped: bytes | None = None) -> Outcome:
        """Runs `lapwing *args`; standard input is `piped`, or empty."""
        done = subprocess.run(
            [sys.executable, "-m", "lapwing", *args],
            env=self.environment(),
            cwd=self.home,
            input=piped or b"",
            capture_output=True,
            timeout=120,
        )
        return Outcome(done.stdout.decode(), done.stderr.decode(), done.returncode)

    def starts(self, *args: str) -> subprocess.Popen[bytes]:
        """Runs it in the background, with pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "lapwing", *args],
            env=self.environment(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Shells that start jobs in the background have them ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def types_on_terminal(self, *args: str, answer: str = "") -> tuple[str, int]:
        """All three streams are one terminal → what it shows, exit code."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "lapwing", *args],
            env=self.environment(),
            cwd=self.home,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        os.write(ours, answer.encode())
        shown = _drain(lambda: os.read(ours, 65536))
        os.close(ours)
        return shown.decode().replace("\r\n", "\n"), process.wait(timeout=60)


def _drain(read: Callable[[], bytes]) -> bytes:
    pieces: list[bytes] = []
    while True:
        try:
            piece = read()
        except OSError:  # Linux's end of a terminal
            piece = b""
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
