"""What each dtype costs and gives: bits, memory, speed, quality; a table for the README.

    python -m benchmarks.precisions --text ../shared/text/tales.valid.txt

Speed and memory: GPT-2 124M shape, random weights, decoding after a 64-token prompt, dtypes
interleaved, medians. Quality: KL(f32 ‖ dtype) of the bundled `tales` on held-out text.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import lapwing
from benchmarks.synthetic import write
from lapwing.bench.quality.distance import mean_kl

DTYPES = ("f32", "f16", "int8", "int4")


def kl_nats(text: Path, windows: int = 32, length: int = 256) -> dict[str, float]:
    """Mean KL to f32 per token, by dtype."""
    models = {dtype: lapwing.load("tales", dtype=dtype) for dtype in DTYPES}
    ids = models["f32"].tokenizer.encode(text.read_text(encoding="utf-8"))
    totals = dict.fromkeys(DTYPES, 0.0)
    for start in np.linspace(0, len(ids) - length, windows).astype(int):
        window = ids[start : start + length]
        want = models["f32"].forward(window)
        for dtype, model in models.items():
            totals[dtype] += mean_kl(want, model.forward(window))
    for model in models.values():
        model.close()
    return {dtype: total / windows for dtype, total in totals.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()) / "lapwing-bench")
    options = parser.parse_args()
    kl = kl_nats(options.text)
    # An f32 file, so that every dtype is what its name says.
    directory = write(options.dir, "gpt2-124m", "F32")
    models = {dtype: lapwing.load(directory, dtype=dtype) for dtype in DTYPES}
    decode: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    prefill: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    for _ in range(options.rounds):
        for dtype, model in models.items():
            cache = model.kv_cache(options.tokens + 128)
            began = time.perf_counter()
            model.forward_with_kv_cache(list(range(128)), cache, last_only=True)
            prefill[dtype].append(128 / (time.perf_counter() - began))
            began = time.perf_counter()
            for token in range(options.tokens):
                model.forward_with_kv_cache([token], cache)
            decode[dtype].append(options.tokens / (time.perf_counter() - began))
    threads = models["int8"].threads
    print(f"{models['int8'].isa}, {threads} threads, {options.rounds} interleaved rounds\n")
    print("| dtype | bits per weight | weights | prefill 128, tokens/s | decode, tokens/s | "
          "KL to f32, nats per token |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for dtype, model in models.items():
        weights = sum(p.N * p.K for p in model.parameters)
        nbytes = model.estimate_memory_usage()
        print(
            f"| {dtype} | {8 * nbytes / weights:.2f} | {nbytes / 1e6:.0f} MB "
            f"| {statistics.median(prefill[dtype]):.0f} "
            f"({min(prefill[dtype]):.0f}–{max(prefill[dtype]):.0f}) "
            f"| {statistics.median(decode[dtype]):.1f} "
            f"({min(decode[dtype]):.1f}–{max(decode[dtype]):.1f}) | {kl[dtype]:.5f} |"
        )


if __name__ == "__main__":
    main()
