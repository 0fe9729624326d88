"""Decode speed against the read bandwidth of this machine, interleaved, medians of several rounds.

    python -m benchmarks.decode --shape gpt2-0.5b --dtypes int4,int8,f16

A decoded token reads every weight once, so bytes per token × tokens per second is a bandwidth; the
floor beside it is a plain sum over the same memory with the same threads (best of 5 a round).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import lapwing
from benchmarks.measure.floors import BEST_OF
from benchmarks.synthetic import SHAPES, write
from lapwing import _native


def read_gbps(context: _native.Context, data: np.ndarray) -> float:
    """Best of 5 sums over `data`, GB/s."""
    best = float("inf")
    for _ in range(BEST_OF):
        began = time.perf_counter()
        _native.sum_words(context, data)
        best = min(best, time.perf_counter() - began)
    return data.nbytes / best / 1e9


def decode_seconds(model: lapwing.Model, cache: lapwing.KVCache, dtype: str, tokens: int) -> float:
    """Seconds per token, each appended to the cache."""
    began = time.perf_counter()
    for token in range(tokens):
        model.forward_with_kv_cache([token], cache, dtype=dtype)
    return (time.perf_counter() - began) / tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="gpt2-0.5b")
    parser.add_argument("--dtypes", default="int4,int8,f16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=16, help="tokens a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()) / "lapwing-bench")
    options = parser.parse_args()

    directory = write(options.dir, options.shape)
    wanted = options.dtypes.split(",")
    models = {}
    for dtype in {"int8" if d == "int4" and "int8" in wanted else d for d in wanted}:
        began = time.perf_counter()
        models[dtype] = lapwing.load(directory, dtype=dtype, threads=options.threads)
        print(f"loaded {dtype} in {time.perf_counter() - began:.1f} s")
    context = _native.Context(options.threads)
    # The same kind of memory as the weights: anonymous for planes, the mapped file for floats.
    anonymous = np.ones(1 << 30, np.uint8)
    mapped = np.memmap(directory / "model.safetensors", np.uint8, mode="r")
    runs: dict[str, list[float]] = {dtype: [] for dtype in wanted}
    floors: dict[str, list[float]] = {dtype: [] for dtype in wanted}
    for _ in range(options.rounds):
        for dtype in wanted:
            floor = read_gbps(context, anonymous if dtype.startswith("int") else mapped)
            floors[dtype].append(floor)
            model = models.get(dtype) or models["int8"]
            cache = model.kv_cache(options.tokens + 4)
            decode_seconds(model, cache, dtype, 4)  # warm-up
            per_token = sum(p.bytes_per_token(dtype) for p in model.parameters)
            seconds = decode_seconds(model, cache, dtype, options.tokens)
            runs[dtype].append(seconds)
            row = {
                "shape": options.shape,
                "dtype": dtype,
                "threads": options.threads,
                "bytes_per_token": per_token,
                "s_per_token": seconds,
                "gbps": per_token / seconds / 1e9,
                "floor_gbps": floor,
            }
            print(json.dumps(row), flush=True)
    print()
    for dtype, seconds in runs.items():
        model = models.get(dtype) or models["int8"]
        per_token = sum(p.bytes_per_token(dtype) for p in model.parameters)
        pairs = zip(seconds, floors[dtype], strict=True)
        shares = sorted(per_token / s / 1e9 / floor for s, floor in pairs)
        print(
            f"{dtype:5} {1 / statistics.median(seconds):6.1f} tokens/s, "
            f"{statistics.median(shares):.0%} of read bandwidth "
            f"({shares[0]:.0%}–{shares[-1]:.0%}; {statistics.median(floors[dtype]):.1f} GB/s)"
        )


if __name__ == "__main__":
    main()
