"""One self-contained HTML page: cards, charts, the table, and how all of it was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from lapwing.bench.record import Record
from lapwing.bench.report import charts, view
from lapwing.bench.report.labels import label_of, rate_of
from lapwing.bench.report.style import STYLE
from lapwing.units import format_bytes

# Nothing is fetched and nothing runs: the page is what it is.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(records: Sequence[Record]) -> str:
    """Of one run."""
    title = f"{records[0].model_filename} on this machine" if records else "Nothing was measured"
    body = _body(records) if records else f"<h1>{title}</h1>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)} – lapwing bench</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _body(records: Sequence[Record]) -> str:
    sections = [
        ("What each precision costs, and what it gives", charts.trade(records),
         "Up and to the left is better. The quality is against float32 on the same text."),
        ("How runs spread", charts.distribution(records),
         "Every dot is a run; the band holds nine tenths of them, the line is the median."),
        ("Over time", charts.over_time(records),
         "A machine that gets warm shows here as a slope." if any(r.sustained for r in records)
         else "Rows took turns in random order; what bends them all was the machine."),
        ("Memory", charts.memory(records),
         "Of a fresh process, sampled every millisecond by another one."),
    ]  # fmt: skip
    parts = [_head(records), _cards(records)]
    parts += [
        f"<section><h2>{escape(name)}</h2><p>{escape(told)}</p>{_legend(records, name)}{chart}"
        "</section>"
        for name, chart, told in sections
        if chart is not None
    ]
    return "".join([*parts, _table(records), _method(records)])


def _head(records: Sequence[Record]) -> str:
    first = records[0]
    facts = [
        first.cpu_info or "unknown processor",
        f"{first.isa or '?'} kernels",
        f"power: {first.power_source or 'not told'}",
        first.test_time.replace("T", " ")[:16],
    ]
    warning = ""
    if any(r.stable is False for r in records):
        reason = next(r.reasons["stable"] for r in records if r.stable is False)
        warning = f'<p class="warning">Unstable: {escape(reason)}.</p>'
    if any(r.interrupted for r in records):
        warning += '<p class="warning">The run was interrupted; what was measured is here.</p>'
    if first.rules.get("min_runs", 0) < 3:
        warning += '<p class="warning">A quick run: it shows that all works, and no speed.</p>'
    return (
        f'<header><p class="kind">lapwing bench · {escape(first.mode)}</p>'
        f"<h1>{escape(first.model_filename)}</h1>"
        f"<p>{escape(first.model_type)}, {first.model_n_params or 0:,} weights</p>"
        f'<p class="facts">{escape("  ·  ".join(facts))}</p>{warning}</header>'
    )


def _cards(records: Sequence[Record]) -> str:
    cards = []
    for i, record in enumerate(records[:12]):
        rate, first = rate_of(record), view.first_like(record, records)
        ratio, saved = view.speed_ratio(record, first), view.memory_reduction(record, first)
        lines = []
        if rate is not None:
            lines.append(f'<p class="big">{rate[0]:,.0f}</p><p>{escape(rate[1])}</p>')
            if ratio is not None:
                lines.append(f"<p><b>{ratio.value:.2f}×</b> as fast</p>")
        if record.grown_bytes:
            less = "" if saved is None else f"<b>{-saved:+.0%}</b> "
            lines.append(f"<p>{escape(format_bytes(record.grown_bytes))} grown {less}</p>")
        if record.bits_per_weight is not None:
            lines.append(f"<p>{record.bits_per_weight:.2f} bits per weight</p>")
        lines.append(f"<p>{escape(view.quality_of(record) or 'quality: not measured')}</p>")
        cards.append(
            f'<div class="card {charts.colour(i)}"><h3>{escape(label_of(record))}</h3>'
            f"{''.join(lines)}</div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _legend(records: Sequence[Record], section: str) -> str:
    if section != "Over time":
        return ""
    items = [f'<span class="{charts.colour(i)}">{escape(label_of(r))}</span>'
             for i, r in enumerate(records)]  # fmt: skip
    return f'<p class="legend">{"".join(items)}</p>'


def _table(records: Sequence[Record]) -> str:
    shown = view.table(records)
    head = "".join(f"<th>{escape(name)}</th>" for name in shown.headers)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in shown.rows
    )
    return (
        "<section><h2>Every number</h2><p>Medians; in brackets where nine tenths of the runs lie. "
        "The speed is beside the first row of the same work, with its 95 % bootstrap interval.</p>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div></section>"
    )


def _method(records: Sequence[Record]) -> str:
    commands = "\n".join(dict.fromkeys(record.command for record in records))
    notes = "".join(f"<li>{escape(note)}</li>" for note in view.notes(records))
    context = json.dumps(records[0].context, indent=1, ensure_ascii=False)
    rules = json.dumps(records[0].rules, indent=1)
    missing = f"<h3>Not measured, and why</h3><ul>{notes}</ul>" if notes else ""
    return (
        f"<section><h2>How to get this again</h2><pre>{escape(commands)}</pre>{missing}"
        f"<details><summary>The machine, as it was</summary><pre>{escape(context)}</pre></details>"
        f"<details><summary>Rules of the measurement</summary><pre>{escape(rules)}</pre></details>"
        "</section>"
    )
