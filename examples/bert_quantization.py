"""BERT at every precision: time and measured memory of one inference at FP32, FP16, INT8, INT4.

    python examples/bert_quantization.py [MODEL]

Memory is measured in a fresh process for each precision: what it grew by from before the model was
loaded until after it had run. Mapped weights count as far as they were read.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import lapwing
from lapwing.backends.machine import resident_bytes

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TEXT = "This is a sample text for benchmarking inference speed."
LEVELS = {"FP32": "f32", "FP16": "f16", "INT8": "int8", "INT4": "int4"}
WARM_UP_RUNS, RUNS = 3, 20


def measure(name: str, level: str) -> None:
    """Runs one precision and prints its line; quality is the cosine of its vector to FP32's."""
    with lapwing.load(name, dtype="f32") as model:
        exact = model.embed(TEXT)
    with lapwing.load(name, dtype=LEVELS[level]) as model:
        cosine = float(model.embed(TEXT) @ exact)
        ids = model.tokenizer.encode(TEXT)
        for _ in range(WARM_UP_RUNS):
            model(ids)
        durations_s = []
        for _ in range(RUNS):
            began_s = time.perf_counter()
            model(ids)
            durations_s.append(time.perf_counter() - began_s)
        weights = model.estimate_memory_usage()
    print(
        f"{level} inference time: {statistics.median(durations_s) * 1000:.2f} ms, "
        f"measured memory: {grown_mb(name, level)} MB "
        f"(weights {weights / 1e6:.1f} MB, cosine to FP32 {cosine:.4f})",
        flush=True,
    )


def grown_mb(name: str, level: str) -> str:
    """Growth of a fresh process that loads and runs the model once, in MB; – if not measurable."""
    command = [sys.executable, __file__, name, "--memory", level]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def print_growth(name: str, level: str) -> None:
    """What `grown_mb` reads."""
    with lapwing.load(
        "tales"
    ) as other:  # libraries, threads and scratch memory are not the model's
        other.generate("Once", max_tokens=1)
    before = resident_bytes()
    with lapwing.load(name, dtype=LEVELS[level]) as model:
        model(model.tokenizer.encode(TEXT))
        after = resident_bytes()
    print("–" if before is None or after is None else f"{(after - before) / 1e6:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=MODEL, help="directory or hub id")
    parser.add_argument("--memory", choices=LEVELS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print_growth(arguments.model, arguments.memory)
        return
    with lapwing.load(arguments.model) as model:
        how = f"{model.backend} {model.isa}, {model.threads} threads"
        print(f"Using device: {model.device} ({how})")
    for level in LEVELS:
        measure(arguments.model, level)


if __name__ == "__main__":
    main()
