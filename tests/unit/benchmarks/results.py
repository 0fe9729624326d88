"""Rows as a run makes them."""

from __future__ import annotations

from typing import Any

from benchmarks.measure.rows import Row


def row(runtime: str, quantization: str, seconds: float, **values: Any) -> Row:
    """Of three equal samples of 10 tokens."""
    told = {
        "suite": "decode",
        "model": "gpt2-124m",
        "workload": "decode",
        "runtime": runtime,
        "version": "1",
        "quantization": quantization,
        "setting": "default",
        "precision": "int4",
        "threads": 2,
        "unit": "token",
        "units": 10,
        "seconds": [seconds] * 3,
        "median_s": seconds,
        "p5_s": seconds,
        "p95_s": seconds,
        "rate": 10 / seconds,
    }
    return Row(**{**told, **values})
