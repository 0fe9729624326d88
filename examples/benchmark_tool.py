"""The guide's benchmark tool: time, memory and throughput of a model at each precision.

    python examples/benchmark_tool.py [MODEL]

Each precision is measured in a fresh process, so that none counts what another has left behind.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

import numpy as np

import lapwing

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
INPUT_IDS = np.array([[101, 2054, 2003, 1037, 13809, 2000, 2242, 2006, 2117, 102]])  # [1, 10]
LEVELS = {"FP32": "f32", "FP16": "f16", "INT8": "int8", "INT4": "int4"}
NUM_RUNS, WARMUP_RUNS = 10, 3


def measure(name: str, level: str) -> dict[str, Any]:
    """In a process of its own."""
    command = [sys.executable, __file__, name, "--level", level]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def print_result(name: str, level: str) -> None:
    """What `measure` reads."""
    lapwing.load(name, dtype=LEVELS[level]).close()  # packed once, and libraries are not the model
    result = lapwing.benchmark_model(
        lambda: lapwing.load(name, dtype=LEVELS[level]), lambda: INPUT_IDS, NUM_RUNS, WARMUP_RUNS
    )
    print(json.dumps(result.to_dict()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=MODEL, help="directory or hub id of an encoder")
    parser.add_argument("--level", choices=LEVELS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.level:
        print_result(arguments.model, arguments.level)
        return
    results = {}
    for level in LEVELS:
        results[level] = one = measure(arguments.model, level)
        memory = one["memory_usage"]
        print(f"{level}:")
        print(f"  Avg Inference Time: {one['avg_inference_time'] * 1000:.2f} ms")
        print(f"  Memory Usage: {'–' if memory is None else round(memory / 1e6)} MB")
        print(f"  Throughput: {one['throughput']:.1f} inferences/sec", flush=True)
    exact = results["FP32"]
    for level, one in list(results.items())[1:]:
        speed = exact["avg_inference_time"] / one["avg_inference_time"]
        print(f"{level} vs FP32:")
        print(f"  Speed improvement: {speed:.2f}x")
        if exact["memory_usage"] and one["memory_usage"] is not None:
            saved = 1 - one["memory_usage"] / exact["memory_usage"]
            print(f"  Memory reduction: {saved:.1%}")
        else:
            print(f"  Memory reduction: – ({exact['reasons'].get('memory_usage')})")


if __name__ == "__main__":
    main()
