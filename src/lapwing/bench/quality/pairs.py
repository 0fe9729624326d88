"""Labelled pairs of texts out of a file: how alike people found them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lapwing.errors import FileError

CSV = ".csv"
_LAYOUTS = {"text, text, score": (0, 1, 2), "score, text, text": (1, 2, 0)}


@dataclass(frozen=True)
class Pair:
    """Two texts and a score; scores are compared by rank alone, so any scale will do."""

    first: str
    second: str
    score: float


def read_pairs(paths: Sequence[Path]) -> list[Pair]:
    """Of all files, one after another. Raises FileError.

    Three columns, separated by tabs, or a `.csv`: text, text, score, or score, text, text (as
    SemEval has them). A first row without a number is a header; rows without a score are passed
    over, and so are columns behind the third.
    """
    return [pair for path in paths for pair in _read(path)]


def _read(path: Path) -> list[Pair]:
    rows = _rows(path)
    if not rows:
        raise FileError(f"{path}: no pairs. Expected lines of text, tab, text, tab, score.")
    for line, row in rows:
        if len(row) < 3:
            raise FileError(
                f"{path}, line {line}: {len(row)} columns, expected text, text and score, "
                "separated by tabs (or commas, in a .csv file)"
            )
    for first, second, score in _LAYOUTS.values():
        headed = _number(rows[0][1][score]) is None and bool(rows[0][1][score].strip())
        body = rows[1:] if headed else rows
        labelled = [(line, row) for line, row in body if row[score].strip()]
        numbers = [_number(row[score]) for _, row in labelled]
        if numbers and all(number is not None for number in numbers):
            return [
                Pair(row[first], row[second], number)
                for (_, row), number in zip(labelled, numbers, strict=True)
                if number is not None
            ]
    raise FileError(
        f"{path}: no column of finite numbers is the third or the first; expected "
        f"{' or '.join(_LAYOUTS)}"
    )


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """(line, columns) of every line that is not blank."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise FileError(f"{path}: no such file (looked in {Path.cwd()})") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    if path.suffix.lower() == CSV:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            return [(reader.line_num, row) for row in reader if any(row)]
        except csv.Error as error:
            raise FileError(f"{path}, line {reader.line_num}: not CSV: {error}") from None
    lines = text.replace("\r\n", "\n").split("\n")
    return [(at, line.split("\t")) for at, line in enumerate(lines, 1) if line.strip()]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
