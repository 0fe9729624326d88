"""A table of results on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lapwing.bench.record import Record

WIDE = 180  # where nobody looks at a terminal
TEXT_COLUMNS = ("runtime", "workload", "dtype", "setting", "quality", "")


def print_table(records: Sequence[Record]) -> None:
    """The table, what it is of, the commands for its rows, and what could not be measured."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from lapwing.bench.report import view

    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, soft_wrap=False)
    if not records:
        console.print("nothing was measured")
        return
    shown = view.table(records)
    first = records[0]
    title = f"{first.model_filename}: {first.model_type}, {first.model_n_params:,} weights"
    console.print(f"{title}, {first.cpu_info or 'unknown processor'}, {first.isa}", markup=False)
    made = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for header in shown.headers:
        made.add_column(header, justify="left" if header in TEXT_COLUMNS else "right")
    for row in shown.rows:
        made.add_row(*row, style="yellow" if row[-1] in ("unstable", "interrupted") else None)
    console.print(made)
    for command in view.commands(records):
        console.print(f"    {command}", markup=False, style="dim")
    for note in view.notes(records):
        console.print(f"  – {note}", markup=False, style="dim")
