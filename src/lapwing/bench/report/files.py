"""Rows as Markdown, JSON, JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from lapwing.bench.record import Record
from lapwing.bench.report import view

LONG = ("samples_ns", "samples_ts", "turns_s", "context", "rules", "extra", "sustained")


def markdown(records: Sequence[Record]) -> str:
    """A table, the commands that reproduce its rows, and why values are missing."""
    shown = view.table(records)
    if not shown.rows:
        return "nothing was measured\n"
    lines = [_row(shown.headers), _row(["---"] * len(shown.headers))]
    lines += [_row(row) for row in shown.rows]
    lines += ["", *(f"    {command}" for command in view.commands(records))]
    notes = view.notes(records)
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def as_json(records: Sequence[Record]) -> str:
    """One list, as llama-bench has it."""
    return json.dumps([r.to_dict() for r in records], indent=1, allow_nan=False) + "\n"


def as_jsonl(records: Sequence[Record]) -> str:
    """One object a line."""
    return "".join(json.dumps(r.to_dict(), allow_nan=False) + "\n" for r in records)


def as_csv(records: Sequence[Record]) -> str:
    """A line a row: values of objects by dotted names; samples and the context are left out."""
    rows = [_flat(record.to_dict()) for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _flat(told: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in told.items():
        if name in LONG:
            continue
        if isinstance(value, dict):
            for key, inner in _flat(value).items():
                flat[f"{name}.{key}"] = inner
        else:
            flat[name] = value
    return flat


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


WRITERS: dict[str, Callable[[Sequence[Record]], str]] = {
    "md": markdown,
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
}
