"""What a worker of a peer answers: export, open, prepare, time."""

from __future__ import annotations

import dataclasses
import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from lapwing.bench.peers.base import Peer, Runner, Target, Workload


class PeerHandler:
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


def handler(module: str) -> PeerHandler:
    """Of the peer that a module adapts."""
    return PeerHandler(importlib.import_module(module).PEER)
