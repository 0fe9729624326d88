"""Multiply-adds per second of one linear, data in cache, by dtype and number of tokens.

    python -m benchmarks.kernels --threads 1 --rounds 9

Rows are interleaved; each is the median over rounds. Beside them the same product in float32 by
NumPy's BLAS with one thread (set OMP_NUM_THREADS=1), taken in the same rounds: the machine's speed
drifts, ratios drift less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from lapwing import _native


def seconds(call: Callable[[], object], at_least_s: float = 0.02) -> float:
    """Mean seconds of a call, repeated for `at_least_s`."""
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < at_least_s:
        call()
        count += 1
    return elapsed / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-N", type=int, default=256)
    parser.add_argument("-K", type=int, default=1024)
    parser.add_argument("--tokens", default="1,2,8,64,256")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa", default="auto")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="one line a row and round")
    options = parser.parse_args()
    N, K = options.N, options.K

    context = _native.Context(options.threads, options.isa)
    w = np.random.default_rng(0).standard_normal((N, K), np.float32)

    def dense(data: np.ndarray, dtype: str, layout: str) -> _native.Dense:
        return _native.Dense(np.ascontiguousarray(data).reshape(-1).view(np.uint8), dtype, layout,
                             N, K)  # fmt: skip

    planes = _native.encode(context, dense(w, "f32", "nk"), True)
    assert isinstance(planes, _native.Planes)
    matrices = {
        f"{dtype} {layout}": dense((w if layout == "nk" else w.T).astype(kind), dtype, layout)
        for dtype, kind in (("f32", np.float32), ("f16", np.float16))
        for layout in ("nk", "kn")
    }
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for T in map(int, options.tokens.split(",")):
            x = np.random.default_rng(T).standard_normal((T, K), np.float32)
            calls: dict[str, Callable[[], object]] = {
                "int4": lambda x=x: _native.linear_planes(
                    context, [planes], x, "int4", [None], None, None
                ),
                "int8": lambda x=x: _native.linear_planes(
                    context, [planes], x, "int8", [None], None, None
                ),
                "BLAS f32": lambda x=x: x @ w.T,
            }
            for name, matrix in matrices.items():
                calls[name] = lambda x=x, matrix=matrix: _native.linear_dense(
                    context, [matrix], x, [None], None, None
                )
            for name, call in calls.items():
                rate = N * K * T / seconds(call) / 1e9
                rates.setdefault((name, T), []).append(rate)
                if options.json:
                    print(json.dumps({"kernel": name, "tokens": T, "gmac_per_s": rate}))
    print(f"{context.isa}, {options.threads} threads, N {N}, K {K}; GMAC/s, median (least–most)")
    for (name, T), values in rates.items():
        print(
            f"{T:5} tokens  {name:9} {statistics.median(values):7.1f} "
            f"({min(values):.1f}–{max(values):.1f})"
        )


if __name__ == "__main__":
    main()
