"""What the machine itself could do at best, measured in the same rounds as the competitors.

Bytes are read as fast as memory gives them: the best of five sums over a gibibyte with the same
threads, in anonymous memory and in a mapped file. Multiply-adds go as fast as the instruction that
a kernel is made of, as far as the native core can measure that.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from lapwing.bench.peers.base import (
    Facts,
    Family,
    Peer,
    Precision,
    Quantization,
    Runner,
    Target,
    Unavailable,
    Workload,
)

SPAN_BYTES = 1 << 30
GIGA = 1_000_000_000
BEST_OF = 5
MAPPINGS = ("anonymous", "file")
# The instruction that products are made with on x86: its peak bounds a prefill.
INSTRUCTION: dict[Precision, str] = {
    "int4": "maddubs",
    "int8": "maddubs",
    "f16": "fma",
    "f32": "fma",
}
INSTRUCTIONS = tuple(dict.fromkeys(INSTRUCTION.values()))
# Bytes, or multiply-adds, that one `time` stands for.
UNITS = dict.fromkeys(MAPPINGS, SPAN_BYTES) | dict.fromkeys(INSTRUCTIONS, GIGA)


class Floors(Peer):
    """A peer that only reads, or only multiplies: its `quantization` says which."""

    name = "floor"
    module = package = "lapwing"

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return ()

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        from lapwing import _native

        context = _native.Context(threads)
        if quantization in MAPPINGS:
            data = _gibibyte(target, quantization)
            return Best(lambda: _timed(lambda: _native.sum_words(context, data)))
        peak = getattr(
            _native, "peak_macs", None
        )  # (context, instruction) → multiply-adds a second
        if peak is None:
            raise Unavailable(f"the native core does not measure the peak of {quantization}")
        return Best(lambda: GIGA / peak(context, quantization))


class Best(Runner):
    """The least of five."""

    facts = Facts(None, None, "anonymous", 0)

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds

    def time(self, work: Workload) -> float:
        return min(self._seconds() for _ in range(BEST_OF))


def _timed(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


def _gibibyte(target: Target, mapping: str) -> Any:
    data = np.ones(SPAN_BYTES, np.uint8)
    if mapping == "anonymous":
        return data
    path = target.exports.parent / "floor.bin"
    if not path.exists() or path.stat().st_size != SPAN_BYTES:
        path.parent.mkdir(parents=True, exist_ok=True)
        data.tofile(path)
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


FLOORS = PEER = Floors()
