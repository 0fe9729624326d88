"""A competitor's own process: requests come in and answers go out as JSON lines.

    python -m benchmarks.measure.worker PEER

Everything else that a runtime prints goes to stderr. A request that fails is answered with its
reason; the process lives on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure.floors import FLOORS
from benchmarks.peers import peers
from benchmarks.peers.base import Peer, Runner, Target, Unavailable, Workload


class Worker:
    """One peer, at most one open model."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._runner: Runner | None = None
        self._work: Workload | None = None
        self._embeds = False

    @property
    def runner(self) -> Runner:
        """Of the open model."""
        if self._runner is None:
            raise RuntimeError("no model is open")
        return self._runner

    def answer(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One request."""
        return getattr(self, f"do_{do}")(**arguments)

    def do_describe(self) -> dict[str, Any]:
        return self._peer.describe()

    def do_import(self) -> dict[str, Any]:
        began_s = time.perf_counter()
        self._peer.bring_in()
        return {"seconds": time.perf_counter() - began_s}

    def do_export(self, target: dict[str, Any], quantization: str) -> dict[str, Any]:
        self._peer.export(_target(target), quantization)
        return {}

    def do_open(
        self, target: dict[str, Any], quantization: str, setting: str, threads: int
    ) -> dict[str, Any]:
        began_s = time.perf_counter()
        self._embeds = target["family"] == "bert"
        self._runner = self._peer.open(_target(target), quantization, setting, threads)
        return {
            "load_s": time.perf_counter() - began_s,
            "facts": dataclasses.asdict(self._runner.facts),
        }

    def do_prepare(self, work: dict[str, Any]) -> dict[str, Any]:
        self._work = _workload(work)
        self.runner.prepare(self._work)
        return {"warm_up_s": self.runner.time(self._work)}

    def do_time(self) -> dict[str, Any]:
        if self._work is None:
            raise RuntimeError("nothing is prepared")
        seconds = [self.runner.time(self._work)]
        while sum(seconds) < self._work.at_least_s:
            seconds.append(self.runner.time(self._work))
        return {"seconds": sum(seconds) / len(seconds)}

    def do_first(self, ids: list[int]) -> dict[str, Any]:
        """Seconds to the first logits (or vector) of a prompt, nothing prepared."""
        began_s = time.perf_counter()
        if self._embeds:
            self.runner.embed([ids])
        else:
            self.runner.start([ids], 1)
        return {"seconds": time.perf_counter() - began_s}

    def do_finite(self, ids: list[int]) -> dict[str, Any]:
        """Whether every number that comes back is finite."""
        values = self.runner.embed([ids]) if self._embeds else self.runner.logits(ids)
        return {"finite": bool(np.isfinite(values).all())}

    def do_generate(self, ids: list[int], n_tokens: int) -> dict[str, Any]:
        return {"ids": self.runner.generate(ids, n_tokens)}

    def do_logits(self, windows: list[list[int]], path: str) -> dict[str, Any]:
        np.save(path, np.stack([self.runner.logits(ids) for ids in windows]))
        return {}

    def do_embed(self, sequences: list[list[int]], path: str) -> dict[str, Any]:
        np.save(path, self.runner.embed(sequences))
        return {}


def _target(told: dict[str, Any]) -> Target:
    paths = {key: Path(told[key]) for key in ("directory", "exports")}
    return Target(**{**told, **paths})


def _workload(told: dict[str, Any]) -> Workload:
    ids = {key: tuple(map(tuple, told[key])) for key in ("prompts", "steps")}
    return Workload(**{**told, **ids})


def end_with_parent() -> None:
    """Linux ends this process when the one that started it is gone, even while it is stopped."""
    if sys.platform == "linux":
        import ctypes

        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    end_with_parent()
    # Libraries may print: answers have the real stdout for themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    worker = Worker({**peers(), FLOORS.name: FLOORS}[sys.argv[1]])
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        try:
            told = worker.answer(**json.loads(line))
        except Unavailable as error:
            told = {"unavailable": str(error)}
        except Exception as error:
            import traceback

            traceback.print_exc()
            told = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), file=answers)


if __name__ == "__main__":
    main()
