"""What the machine itself could do at best, measured in the same rounds as the competitors.

Bytes are read as fast as memory gives them: the best of five sums over a gibibyte with the same
threads, in anonymous memory and in a mapped file. Multiply-adds go as fast as the instruction does
that a kernel is made of, once the native core can measure that.
"""

from __future__ import annotations

import mmap
import time
from typing import Any

import numpy as np

from benchmarks.peers.base import Facts, Family, Peer, Quantization, Runner, Target, Workload

SPAN_BYTES = 1 << 30
BEST_OF = 5
MAPPINGS = ("anonymous", "file")
# Precision → the instruction its products are made with, whose peak bounds a prefill.
INSTRUCTION = {"int4": "maddubs", "int8": "maddubs", "f16": "fma", "f32": "fma"}


class Floors(Peer):
    """A peer that only reads: its `quantization` is the kind of memory."""

    name = "floor"
    module = package = "lapwing"

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return ()

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        return Sum(target, quantization, threads)


class Sum(Runner):
    """Reads a gibibyte; its `time` is that of the best of five."""

    facts = Facts(None, None, "anonymous", 0)

    def __init__(self, target: Target, mapping: str, threads: int) -> None:
        from lapwing import _native

        self._sum, self._threads = _native.sum_words, _native.Context(threads)
        self._data: Any = np.ones(SPAN_BYTES, np.uint8)
        if mapping == "file":
            path = target.exports / "floor.bin"
            if not path.exists() or path.stat().st_size != SPAN_BYTES:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._data.tofile(path)
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._data = np.frombuffer(mapped, np.uint8)

    def prepare(self, work: Workload) -> None:
        self._sum(self._threads, self._data)

    def time(self, work: Workload) -> float:
        best_s = float("inf")
        for _ in range(BEST_OF):
            began_s = time.perf_counter()
            self._sum(self._threads, self._data)
            best_s = min(best_s, time.perf_counter() - began_s)
        return best_s


FLOORS = Floors()


def peak_macs(instruction: str, threads: int) -> tuple[float | None, str]:
    """Multiply-adds a second of one instruction, both threads in registers; None and the reason.

    The native core would offer `peak_macs(context, instruction)`, instruction one of INSTRUCTION's.
    """
    from lapwing import _native

    measure = getattr(_native, "peak_macs", None)
    if measure is None:
        return None, f"the native core does not measure the peak of {instruction}"
    context = _native.Context(threads)
    best = max(measure(context, instruction) for _ in range(BEST_OF))
    return best, f"peak of {instruction}, best of {BEST_OF}"
