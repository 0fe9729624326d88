"""Pictures of results, by matplotlib, which the extra `bench` brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lapwing.bench.record import Record
from lapwing.bench.report import view
from lapwing.bench.report.labels import label_of, rate_of
from lapwing.errors import FileError, RequestError

COLOURS = ("#2a6f97", "#c8553d", "#588157", "#8d6a9f", "#b08900", "#6c757d")


def need_matplotlib() -> Any:
    """Its pyplot, drawing into files. Raises RequestError where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        raise RequestError(
            "--plot: matplotlib is not installed. pip install 'lapwing[bench]', or use -o html, "
            "which needs nothing."
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {
            "figure.dpi": 150,
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
        }
    )
    return pyplot


def plot_results(records: Sequence[Record], path: Path) -> None:
    """Speed by row, its distribution, and what else there is: memory, a timeline. FileError."""
    pyplot = need_matplotlib()
    panels = [_speed]
    panels += [_distribution] if any(len(r.samples_ns) > 2 for r in records) else []
    panels += [_memory] if any(r.grown_bytes for r in records) else []
    panels += [_timeline] if any(r.sustained for r in records) else []
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(7, 0.9 + len(panels) * (1.1 + 0.28 * len(records))), squeeze=False
    )
    for panel, axis in zip(panels, axes[:, 0], strict=True):
        panel(axis, records)
    first = records[0]
    figure.suptitle(f"{first.model_filename} on {first.cpu_info or 'this machine'}", fontsize=11)
    _save(figure, path)
    pyplot.close(figure)


def plot_history(records: Sequence[Record], path: Path) -> None:
    """The headline of each kind of row over time, with where nine tenths of its runs lie."""
    pyplot = need_matplotlib()
    series: dict[str, list[Record]] = {}
    for record in records:
        if record.headline is not None:
            series.setdefault(f"{record.mode} {label_of(record)}", []).append(record)
    if not series:
        raise RequestError("--plot: no row of the history has a time in it")
    figure, axis = pyplot.subplots(figsize=(8, 4.2))
    for number, (name, rows) in enumerate(series.items()):
        times = [_when(row) for row in rows]
        middle, low, high = zip(*(_band(row) for row in rows), strict=True)
        colour = COLOURS[number % len(COLOURS)]
        axis.plot(times, middle, marker="o", markersize=4, color=colour, label=name)
        axis.fill_between(times, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.set_ylabel("ms per token, or per run")
    axis.set_ylim(bottom=0)
    axis.set_title(f"{records[0].model_filename}: history on this machine")
    axis.legend(frameon=False, fontsize=8)
    figure.autofmt_xdate()
    _save(figure, path)
    pyplot.close(figure)


def plot_memory(timeline: Sequence[Any], phases: Sequence[str], title: str, path: Path) -> None:
    """Memory of a process over time: private and mapped pages stacked, phases named above."""
    pyplot = need_matplotlib()
    figure, axis = pyplot.subplots(figsize=(8, 4))
    times = [p.time_s for p in timeline]
    own = [p.anon_bytes / 2**20 for p in timeline]
    mapped = [(p.rss_bytes - p.anon_bytes) / 2**20 for p in timeline]
    axis.stackplot(times, own, mapped, labels=("private", "mapped from files"),
                   colors=(COLOURS[1], COLOURS[0]), alpha=0.75, linewidth=0)  # fmt: skip
    top = 1.12 * max(a + b for a, b in zip(own, mapped, strict=True))
    axis.set_ylim(0, top)
    for phase in phases[1:]:  # the first begins at 0
        inside = [p.time_s for p in timeline if p.phase == phase]
        if inside:
            axis.axvline(inside[0], color="0.6", linewidth=0.7)
            axis.text(inside[0], top, f" {phase}", va="top", fontsize=8, rotation=90)
    axis.set_xlabel("seconds")
    axis.set_ylabel("MiB")
    axis.set_title(title)
    axis.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    _save(figure, path)
    pyplot.close(figure)


def _speed(axis: Any, records: Sequence[Record]) -> None:
    found = [(label_of(r), rate_of(r)) for r in records]
    rows = [(label, rate) for label, rate in found if rate is not None]
    axis.set_title(rows[0][1][1] if rows else "nothing was timed")
    axis.barh(range(len(rows)), [rate[0] for _, rate in rows], color=COLOURS[0], height=0.6)
    axis.set_yticks(range(len(rows)), [label for label, _ in rows])
    axis.invert_yaxis()
    for at, (_, rate) in enumerate(rows):
        axis.text(rate[0], at, f" {rate[0]:,.1f}", va="center", fontsize=8)
    axis.margins(x=0.12)


def _distribution(axis: Any, records: Sequence[Record]) -> None:
    rows = [r for r in records if r.samples_ns]
    axis.boxplot([[ns / 1e6 for ns in r.samples_ns] for r in rows], orientation="horizontal",
                 widths=0.6, showfliers=True, flierprops={"markersize": 2},
                 medianprops={"color": COLOURS[1]})  # fmt: skip
    axis.set_yticks(range(1, len(rows) + 1), [label_of(r) for r in rows])
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_title("ms of a whole run")


def _memory(axis: Any, records: Sequence[Record]) -> None:
    rows = [r for r in records if r.grown_bytes]
    axis.barh(range(len(rows)), [(r.grown_bytes or 0) / 2**20 for r in rows], color=COLOURS[2],
              height=0.6)  # fmt: skip
    axis.set_yticks(range(len(rows)), [label_of(r) for r in rows])
    axis.invert_yaxis()
    for at, r in enumerate(rows):
        quality = view.quality_of(r)
        axis.text((r.grown_bytes or 0) / 2**20, at, f" {quality or ''}", va="center", fontsize=8)
    axis.margins(x=0.25)
    axis.set_title("MiB that a process grows by")


def _timeline(axis: Any, records: Sequence[Record]) -> None:
    unit = ""
    for number, record in enumerate(r for r in records if r.sustained):
        assert record.sustained is not None
        points, unit = record.sustained["timeline"], record.sustained["unit"]
        colour = COLOURS[number % len(COLOURS)]
        times = [p["time_s"] / 60 for p in points]
        axis.plot(times, [p["rate"] for p in points], color=colour, label=label_of(record))
        heat = [(t, p["temperature_c"]) for t, p in zip(times, points, strict=True)
                if p["temperature_c"] is not None]  # fmt: skip
        if heat:
            twin = axis.twinx()
            twin.plot(*zip(*heat, strict=True), color=COLOURS[1], linewidth=0.8, linestyle="--")
            twin.set_ylabel("°C")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("minutes")
    axis.set_title(unit)
    axis.legend(frameon=False, fontsize=8)


def _when(record: Record) -> Any:
    from datetime import datetime

    return datetime.strptime(record.test_time, "%Y-%m-%dT%H:%M:%SZ")


def _band(record: Record) -> tuple[float, float, float]:
    """Median, p5, p95 in ms."""
    if record.tpot_ms is not None:
        return record.tpot_ms["median"], record.tpot_ms["p5"], record.tpot_ms["p95"]
    assert record.seconds is not None
    return tuple(1e3 * record.seconds[key] for key in ("median", "p5", "p95"))


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: the picture cannot be written ({error})") from None
