"""tests/unit/bench/golden/statistics.json: samples that were timed, and what SciPy makes of them.

    pip install scipy && python tools/make_statistics_goldens.py [SAMPLES.json]

Samples are those of the file as it is, or those of another one: lists of seconds by name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import scipy
from scipy import stats

GOLDEN = Path(__file__).parents[1] / "tests" / "unit" / "bench" / "golden" / "statistics.json"


def of(samples: list[float]) -> dict[str, float]:
    """By SciPy's own functions where it has them."""
    p5, median, p95 = stats.mstats.mquantiles(samples, (0.05, 0.5, 0.95), alphap=1, betap=1)
    described = stats.describe(samples, ddof=1)
    return {
        "median": float(median),
        "mean": float(described.mean),
        "min": float(described.minmax[0]),
        "p5": float(p5),
        "p95": float(p95),
        "std": float(np.sqrt(described.variance)),
        "variation": float(stats.variation(samples, ddof=1)),
    }


def interval(a: list[float], b: list[float]) -> dict[str, float]:
    """95 % percentile bootstrap of median(a) / median(b), each side redrawn by itself."""
    found = stats.bootstrap(
        (a, b),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        n_resamples=100_000,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    low, high = found.confidence_interval
    return {"value": float(np.median(a) / np.median(b)), "low": float(low), "high": float(high)}


def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    told = json.loads(source.read_text())
    samples = told.get("samples", told)
    names = list(samples)
    golden = {
        "scipy": scipy.__version__,
        "samples": samples,
        "summaries": {name: of(values) for name, values in samples.items()},
        "ratios": {
            f"{a}/{b}": interval(samples[a], samples[b])
            for a, b in zip(names[1:], names[:-1], strict=True)
        },
    }
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
