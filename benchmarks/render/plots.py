"""Bars of speed, a PNG a model and workload: peers' best settings beside Lapwing's dtypes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.measure.rows import Results, Row
from benchmarks.render.tables import best_settings

OURS, THEIRS = "#1b7f5c", "#b9c4cb"


def draw(results: Results, folder: Path, suite: str) -> list[str]:
    """Names of the files; none without matplotlib, which a message says."""
    try:
        import matplotlib
    except ImportError:
        print("no plots: pip install matplotlib")
        return []
    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = []
    for model in dict.fromkeys(row.model for row in results.rows):
        mine = [row for row in best_settings(results.rows) if row.model == model]
        workloads = list(dict.fromkeys(row.workload for row in mine))
        tallest = max(sum(row.workload == work for row in mine) for work in workloads)
        figure, axes = pyplot.subplots(
            1,
            len(workloads),
            figsize=(5.2 * len(workloads), 0.9 + 0.24 * tallest),
            squeeze=False,
            layout="constrained",
        )
        for axis, work in zip(axes[0], workloads, strict=True):
            _bars(axis, work, [row for row in mine if row.workload == work])
        figure.suptitle(f"{model}, {results.context.get('run', {}).get('threads')} threads")
        names.append(f"{suite}-{model}.png")
        figure.savefig(folder / names[-1], dpi=110)
        pyplot.close(figure)
    return names


def _bars(axis: Any, title: str, found: list[Row]) -> None:
    found = sorted(found, key=lambda row: row.rate)
    rates = [row.rate for row in found]
    spreads = [
        [row.rate - row.units / row.p95_s for row in found],
        [row.units / row.p5_s - row.rate for row in found],
    ]
    axis.barh(
        [f"{row.runtime} {row.quantization}" for row in found],
        rates,
        xerr=spreads,
        color=[OURS if row.runtime == "lapwing" else THEIRS for row in found],
        error_kw={"linewidth": 0.8},
    )
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(f"{found[0].unit}s/s", fontsize=8)
    axis.tick_params(labelsize=7)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
