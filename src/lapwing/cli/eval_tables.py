"""How `lapwing eval` prints: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from lapwing.cli.terminal import plain, print_json
from lapwing.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from lapwing.bench.quality.choose import Choice
    from lapwing.bench.quality.estimate import Estimate
    from lapwing.bench.quality.result import EvalResult, Quality

FORMATS = ("table", "md", "json", "jsonl")
NOT_MEASURED = "–"
PIPED_WIDTH = 200  # nobody's window: as wide as the table needs
Rows = list[tuple[str, ...]]


def print_result(result: EvalResult, output: str) -> None:
    """output: one of FORMATS."""
    if output == "json":
        print_json(result)
        return
    if output == "jsonl":
        common = {k: v for k, v in plain(result).items() if k != "rows"}
        for row in result.rows:
            print(json.dumps({**common, **plain(row)}, allow_nan=False))
        return
    header, rows = _causal(result) if result.kind == "causal" else _encoder(result)
    show(header, rows, output)
    print("\n".join(["", *_remarks(result)]))


def print_choice(choice: Choice, output: str) -> None:
    """output: one of FORMATS."""
    if output in ("json", "jsonl"):
        told = plain(choice)
        told["plan"] = sorted(choice.plan.int4)
        groups = told.pop("groups")
        if output == "json":
            print(json.dumps({**told, "groups": groups}, allow_nan=False))
            return
        for group in groups:
            print(json.dumps({**told, **group}, allow_nan=False))
        return
    rows: Rows = [
        (
            group.name,
            "int4" if group.int4 else "int8",
            format_bytes(group.saved_bytes),
            f"{group.added_loss:+.3g}",
        )
        for group in choice.groups
    ]
    show(("matrices", "read as", "int4 saves", "and adds"), rows, output)
    print(
        f"\n{format_bytes(choice.held_bytes)} of weights, as int8 throughout "
        f"{format_bytes(choice.int8_bytes)}"
        f"\n{choice.loss}: predicted {choice.predicted_loss:.3g}, measured "
        f"{choice.measured_loss:.3g}; int8 throughout {choice.int8_loss:.3g}"
        f"\nover {choice.scored:,} positions of {choice.text}, in {format_seconds(choice.took_s)}"
    )


def show(header: Sequence[str], rows: Rows, output: str) -> None:
    """As Markdown, or as a table on the terminal; the first two columns are words."""
    if output == "md":
        ruler = ["---", "---", *["---:"] * (len(header) - 2)]
        for line in (header, ruler, *rows):
            print(f"| {' | '.join(line)} |")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for at, column in enumerate(zip(header, *rows, strict=True)):
        # Where there is little room, lines break between words.
        widest = max(len(word) for cell in column for word in cell.split())
        side: Literal["left", "right"] = "left" if at < 2 else "right"
        table.add_column(column[0], justify=side, min_width=widest)
    for row in rows:
        table.add_row(*row)
    piped = Console(width=PIPED_WIDTH)
    (Console() if sys.stdout.isatty() else piped).print(table)


def _causal(result: EvalResult) -> tuple[tuple[str, ...], Rows]:
    rows: Rows = [
        (
            row.name,
            row.dtype,
            _bytes(row),
            pm(row.perplexity),
            pm(row.perplexity_ratio),
            pm(row.kl_nats),
            pm(row.kl_p99_nats),
            pm(row.top1_agreement, 100),
        )
        for row in result.rows
    ]
    names = ("model", "dtype", "weights", "perplexity", "ratio", "KL nats", "KL p99", "top-1 %")
    return names, rows


def _encoder(result: EvalResult) -> tuple[tuple[str, ...], Rows]:
    rows: Rows = [
        (
            row.name,
            row.dtype,
            _bytes(row),
            pm(row.cosine_mean),
            NOT_MEASURED if row.cosine_min is None else f"{row.cosine_min:.4f}",
            pm(row.spearman, 100, at_least=2),
        )
        for row in result.rows
    ]
    return ("model", "dtype", "weights", "cosine", "least cosine", "Spearman × 100"), rows


def pm(estimate: Estimate | None, scale: float = 1, at_least: int = 0) -> str:
    """`'35.3 ± 1.7'`: with the digits of a standard error that has two, or at least so many.

    Rows that read the same text differ by less than each of them is sure of.
    """
    if estimate is None:
        return NOT_MEASURED
    value, error = scale * estimate.value, estimate.standard_error
    if error is None or not math.isfinite(error):
        return f"{value:.4g}"
    error *= scale
    if error == 0:
        return f"{value:.6g} ± 0"
    digits = max(at_least, 1 - math.floor(math.log10(error)))
    if digits > 6:
        return f"{value:.2g} ± {error:.1g}" if abs(value) < 1e-3 else f"{value:.6f} ± {error:.0e}"
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _bytes(row: Quality) -> str:
    return NOT_MEASURED if row.held_bytes is None else format_bytes(row.held_bytes)


def _remarks(result: EvalResult) -> list[str]:
    """What the table is over, what ended it, and why something is missing."""
    what = "positions" if result.kind == "causal" else "texts"
    ended = {
        "text": "all of it",
        "tokens": "as far as --tokens goes",
        "time": "stopped by the time (--seconds)",
        "interrupted": "stopped by Ctrl-C",
    }[result.stopped]
    read = f"{result.scored:,} {what} of {result.text} in {result.blocks} blocks"
    lines = [f"{read}, {format_seconds(result.took_s)}; {ended}. ± is one standard error."]
    if result.kind == "causal":
        lines.append(f"windows of {result.window} tokens, stride {result.stride}")
    lines.append(f"reference: {result.reference}")
    for row in result.rows:
        if row.kl_certain is not None:
            low, high, error = (
                row.kl_certain.low,
                row.kl_certain.high,
                row.kl_certain.standard_error,
            )
            lines.append(
                f"{row.dtype}: of a reference kept in part, KL ± {error:.2g} by what was kept; for "
                f"certain within {low:.5f} and {high:.5f}"
            )
    reasons: dict[str, list[str]] = {}
    for row in result.rows:
        for name, why in row.not_measured.items():
            if why != "it is the reference":
                reasons.setdefault(f"{name}: {why}", []).append(row.dtype)
    lines += [f"{NOT_MEASURED} {why} ({', '.join(rows)})" for why, rows in reasons.items()]
    return lines
