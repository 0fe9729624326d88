"""The charts of the page: what a precision gives for its memory, how runs spread, how they went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lapwing.bench.record import Record
from lapwing.bench.report import view
from lapwing.bench.report.labels import label_of, rate_of
from lapwing.bench.report.svg import Chart, Scale, number

WIDTH, COLOURS = 720, 6
MEBI = 2**20
MOST_DOTS = 240


def colour(index: int) -> str:
    """Class of a row."""
    return f"c{index % COLOURS}"


def trade(records: Sequence[Record]) -> str | None:
    """Speed over memory; the quality stands beside each point. None for fewer than two points."""
    points = [
        (i, r.grown_bytes / MEBI, *found)
        for i, r in enumerate(records)
        if r.grown_bytes and (found := rate_of(r)) is not None
    ]
    if len(points) < 2:
        return None
    chart = Chart(WIDTH, 380, "Speed over memory of each precision")
    x = Scale(0, 1.45 * max(memory for _, memory, _, _ in points), 64, WIDTH - 20)
    y = Scale(0, 1.15 * max(rate for _, _, rate, _ in points), 330, 40)
    chart.x_axis(x, 330, 40, "memory that the process grew by, MiB  (left is better)")
    chart.y_axis(y, 64, WIDTH - 20, f"{points[0][3]}  (up is better)")
    chart.path([(x(memory), y(rate)) for _, memory, rate, _ in sorted(points, key=_memory_of)],
               "thread")  # fmt: skip
    taken: list[tuple[float, float]] = []
    for i, memory, rate, unit in sorted(points, key=lambda point: -point[2]):
        name, quality = label_of(records[i]), view.quality_of(records[i])
        told = f"{name}: {rate:,.1f} {unit}, {memory:,.1f} MiB, {quality or 'no quality'}"
        at_x, at_y = x(memory) + 22, _free(y(rate), x(memory), taken)
        taken.append((x(memory), at_y))
        chart.line(x(memory), y(rate), at_x - 4, at_y - 4, "lead")
        chart.circle(x(memory), y(rate), 8, f"dot {colour(i)}", told)
        chart.text(at_x, at_y, name, f"name tint {colour(i)}")
        chart.text(at_x, at_y + 14, quality or "quality: not measured", "hint")
    return str(chart)


def _memory_of(point: tuple[int, float, float, str]) -> float:
    return point[1]


def _free(y: float, x: float, taken: Sequence[tuple[float, float]]) -> float:
    """Lower, where a label nearby would be written over; they come from the top down."""
    for other_x, other_y in sorted(taken, key=lambda place: place[1]):
        if abs(other_x - x) < 200 and abs(other_y - y) < 34:
            y = other_y + 34
    return y


def distribution(records: Sequence[Record]) -> str | None:
    """Every run a dot, the middle nine tenths a band, the median a line."""
    rows = [(i, r) for i, r in enumerate(records) if len(r.samples_ns) > 1 and r.seconds]
    if not rows:
        return None
    band, top = 56, 30
    height = top + band * len(rows)
    chart = Chart(WIDTH, height + 48, "Distribution of the times of runs")
    most = max(_most_ms(r) for _, r in rows)
    x = Scale(0, 1.02 * most, 170, WIDTH - 20)
    chart.x_axis(x, height, top, "milliseconds of a run")
    for row, (i, record) in enumerate(rows):
        assert record.seconds is not None
        y = top + band * (row + 0.5)
        samples = [ns / 1e6 for ns in record.samples_ns]
        p5, median, p95 = (1e3 * record.seconds[key] for key in ("p5", "median", "p95"))
        chart.text(158, y - 2, label_of(record), "name", "end")
        chart.text(158, y + 13, f"{number(median)} ms, n = {record.seconds['n']}", "hint", "end")
        chart.rect(x(p5), y - 15, x(p95) - x(p5), 30, f"band {colour(i)}",
                   f"p5 {number(p5)} ms, p95 {number(p95)} ms")  # fmt: skip
        step = -(-len(samples) // MOST_DOTS)
        for n, sample in enumerate(samples[::step]):
            if sample <= x.high:
                offset = 12 * math.sin(2.399963 * n)  # spread evenly, always alike
                chart.circle(x(sample), y + offset, 2, f"speck {colour(i)}", f"{sample:.3f} ms")
        chart.line(x(median), y - 17, x(median), y + 17, f"mark {colour(i)}")
    return str(chart)


def _most_ms(record: Record) -> float:
    """The right end: a few late runs may lie outside."""
    assert record.seconds is not None
    return 1e3 * max(record.seconds["p95"] * 1.25, record.seconds["median"] * 1.5)


def over_time(records: Sequence[Record]) -> str | None:
    """Speed through minutes with the temperature; where there are none, from turn to turn."""
    sustained = [(i, r, r.sustained) for i, r in enumerate(records) if r.sustained]
    if sustained:
        return _minutes([(i, r, told) for i, r, told in sustained if told is not None])
    rows = [(i, r) for i, r in enumerate(records) if len(r.turns_s) > 2]
    if not rows:
        return None
    chart = Chart(WIDTH, 340, "Speed from turn to turn")
    x = Scale(1, max(len(r.turns_s) for _, r in rows), 64, WIDTH - 20)
    rates = {i: [_per_turn(r) / s for s in r.turns_s] for i, r in rows}
    y = Scale(0, 1.15 * max(max(values) for values in rates.values()), 290, 40)
    chart.x_axis(x, 290, 40, "turn")
    first = rate_of(rows[0][1])
    chart.y_axis(y, 64, WIDTH - 20, "runs/s" if first is None else first[1])
    for i, _ in rows:
        points = [(x(n), y(rate)) for n, rate in enumerate(rates[i], 1)]
        chart.path(points, f"curve {colour(i)}")
    return str(chart)


def _per_turn(record: Record) -> int:
    """What is done in the time that a turn tells: a token of each prompt, texts, or a prompt."""
    if record.tpot_ms is None and record.texts_per_s is None and record.prefill_tps is not None:
        return record.n_prompt
    return record.n_batch * (record.n_gen if record.extra.get("workload") == "decode" else 1)


def _minutes(rows: Sequence[tuple[int, Record, Mapping[str, Any]]]) -> str:
    points = [p for _, _, told in rows for p in told["timeline"]]
    chart = Chart(WIDTH, 340, "Speed and temperature over time")
    hot = [p["temperature_c"] for p in points if p["temperature_c"] is not None]
    right = WIDTH - (60 if hot else 20)
    x = Scale(0, max(p["time_s"] for p in points) / 60, 64, right)
    y = Scale(0, 1.15 * max(p["rate"] for p in points), 290, 40)
    chart.x_axis(x, 290, 40, "minutes")
    chart.y_axis(y, 64, right, rows[0][2]["unit"])
    for i, _, told in rows:
        line = [(x(p["time_s"] / 60), y(p["rate"])) for p in told["timeline"]]
        chart.area(line, 290, f"under {colour(i)}")
        chart.path(line, f"curve {colour(i)}")
    if hot:
        heat = Scale(math.floor(min(hot) / 10) * 10, math.ceil(max(hot) / 10) * 10 or 10, 290, 40)
        for _, _, told in rows:
            chart.path(
                [
                    (x(p["time_s"] / 60), heat(p["temperature_c"]))
                    for p in told["timeline"]
                    if p["temperature_c"] is not None
                ],
                "curve heat",
            )
        for value in (heat.low, (heat.low + heat.high) / 2, heat.high):
            chart.text(right + 8, heat(value) + 4, f"{value:.0f} °C", "tick heat-text")
    else:
        reason = rows[0][1].reasons.get("temp_c", "the temperature was not measured")
        chart.text(right, 58, f"no temperature: {reason}"[:110], "hint", "end")
    return str(chart)


def memory(records: Sequence[Record]) -> str | None:
    """Bars of private and mapped pages at their peak in each phase."""
    rows = [(r, r.extra["memory_phases"]) for r in records if r.extra.get("memory_phases")]
    if not rows:
        return None
    phases = list(rows[0][1])
    band, gap, top = 16, 22, 34
    height = top + len(rows) * (len(phases) * band + gap)
    chart = Chart(WIDTH, height + 48, "Memory by phase")
    most = max(
        kinds["rss"]["peak"] for _, told in rows for kinds in told.values() if "rss" in kinds
    )
    x = Scale(0, 1.05 * most / MEBI, 200, WIDTH - 20)
    chart.x_axis(x, height, top, "peak resident memory, MiB")
    chart.rect(200, 6, 11, 11, "own")
    chart.text(216, 16, "private to the process", "hint")
    chart.rect(370, 6, 11, 11, "shared")
    chart.text(386, 16, "mapped from files, shared with others", "hint")
    y = float(top)
    for record, told in rows:
        chart.text(110, y + len(phases) * band / 2 + 4, label_of(record), "name", "end")
        for phase in phases:
            kinds = told.get(phase, {})
            if "rss" not in kinds:
                continue
            own = kinds.get("anon", {"peak": 0})["peak"] / MEBI
            whole = max(kinds["rss"]["peak"] / MEBI, own)
            chart.text(192, y + 12, phase, "tick", "end")
            chart.rect(x(0), y + 2, x(own) - x(0), band - 4, "own", f"private {own:.1f} MiB")
            chart.rect(x(own), y + 2, x(whole) - x(own), band - 4, "shared",
                       f"mapped {whole - own:.1f} MiB")  # fmt: skip
            y += band
        y += gap
    return str(chart)
