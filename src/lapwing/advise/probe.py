"""How fast each backend decodes here, and how much slower the NumPy reference is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapwing import backends
from lapwing.advise.slowdown import Measurements
from lapwing.backends.base import Backend, Layout, Matrix
from lapwing.backends.reference import ReferenceBackend
from lapwing.backends.reference_arrays import PlaneMatrix
from lapwing.engine.passes import Passes
from lapwing.engine.session import Session
from lapwing.layers.ops import Ops
from lapwing.models.registry import build_decoder
from lapwing.quant import scheme
from lapwing.quant.recipe import Recipe
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.hub import bundled_models

MODEL, DTYPE = "tales", "int8"
WARM_UP_TOKENS = 8
ROUNDS, BLOCK_TOKENS = 4, 8
BUDGET_S = 0.5  # of decoding, on each backend; one token a round is always measured
BANDWIDTH_BYTES = 128 << 20  # beyond the caches of a laptop
BANDWIDTH_PASSES = 4

Clock = Callable[[], float]


def measure(
    threads: int, isa: str = "auto", *, bandwidth: bool = True, budget_s: float = BUDGET_S
) -> Measurements:
    """Takes about a second. Without a compiled core, its speed stays None."""
    competitors: list[Backend] = [_NoiseBackend(threads)]
    if "cpu" in backends.available():
        competitors.append(backends.create("cpu", threads, isa))
    speeds, bytes_per_token = decode_speeds(competitors, budget_s=budget_s)
    return Measurements(
        compiled_tps=speeds[1] if len(speeds) > 1 else None,
        reference_tps=speeds[0],
        read_bytes_per_s=read_bandwidth(threads, isa) if bandwidth else None,
        bytes_per_token=bytes_per_token,
    )


def decode_speeds(
    competitors: Sequence[Backend],
    *,
    budget_s: float = BUDGET_S,
    clock: Clock = time.perf_counter,
) -> tuple[list[float], int]:
    """Decoded tokens/s of each, from its median token, and bytes a token reads.

    They take turns, so that whatever else the machine does meets them all.
    """
    timelines = [_Timeline(backend) for backend in competitors]
    durations_s: list[list[float]] = [[] for _ in timelines]
    for _ in range(ROUNDS):
        for timeline, mine_s in zip(timelines, durations_s, strict=True):
            mine_s += timeline.block(budget_s / ROUNDS, clock)
    for timeline in timelines:
        timeline.close()
    return [1 / statistics.median(mine_s) for mine_s in durations_s], timelines[0].bytes_per_token


class _Timeline:
    """The bundled model on one backend, warmed up."""

    def __init__(self, backend: Backend) -> None:
        self._checkpoint = Checkpoint(bundled_models()[MODEL])
        self._ops = Ops(backend, Recipe(DTYPE))
        network = build_decoder(self._checkpoint, self._ops)
        for parameter in self._ops.parameters:
            parameter.load()
        self._session = Session(
            Passes(network, backend),
            network.kv_cache(WARM_UP_TOKENS + ROUNDS * BLOCK_TOKENS),
        )
        self._session.feed(range(1, 1 + WARM_UP_TOKENS), DTYPE)
        self.bytes_per_token = sum(p.bytes_per_token(DTYPE) for p in self._ops.parameters)

    def block(self, budget_s: float, clock: Clock) -> list[float]:
        """Seconds of each of the next tokens: one at least, and no new one beyond the budget."""
        durations_s: list[float] = []
        while len(durations_s) < BLOCK_TOKENS and sum(durations_s) < budget_s:
            began_s = clock()
            self._session.feed([1], DTYPE)
            durations_s.append(clock() - began_s)
        return durations_s

    def close(self) -> None:
        """Gives everything back."""
        for parameter in self._ops.parameters:
            parameter.release()
        self._checkpoint.close()


def read_bandwidth(threads: int, isa: str = "auto", size_bytes: int = BANDWIDTH_BYTES) -> float:
    """Bytes/s of the fastest of a few passes over a large array, read by `threads` threads.

    The compiled core reads where there is one, else NumPy.
    """
    data = np.ones(size_bytes, np.uint8)
    with ThreadPoolExecutor(threads) as pool:
        read = _reader(data, threads, isa, pool)
        seconds = []
        for _ in range(BANDWIDTH_PASSES):
            began_s = time.perf_counter()
            read()
            seconds.append(time.perf_counter() - began_s)
    return data.nbytes / min(seconds)


def _reader(
    data: NDArray[np.uint8], threads: int, isa: str, pool: ThreadPoolExecutor
) -> Callable[[], object]:
    if "cpu" in backends.available():
        from lapwing.backends.cpu import CpuBackend

        backend = CpuBackend(threads, isa)
        return lambda: backend.read_all(data)
    parts = np.array_split(data.view(np.uint64), threads)
    return lambda: list(pool.map(np.add.reduce, parts))  # NumPy lets other threads run meanwhile


class _NoiseBackend(ReferenceBackend):
    """The reference on planes of the right shape that hold noise.

    Packing in NumPy takes seconds, and how long a pass takes does not depend on the values.
    """

    def planes(self, data: NDArray[Any], dtype: str, layout: Layout, *, refine: bool) -> Matrix:
        """See Backend."""
        N, K = data.shape if layout == "nk" else data.shape[::-1]
        R, rng = scheme.row_group_count(N), np.random.default_rng(0)
        base = rng.integers(0, 256, (R, scheme.base_stride(K)), np.uint8)
        low = rng.integers(0, 256, (R, scheme.refine_stride(K)), np.uint8) if refine else None
        factors = np.full((R, 2), 1e-5, np.float32)
        return PlaneMatrix(scheme.PlaneArrays(N, K, base, low, factors))
