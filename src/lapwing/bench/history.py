"""What was measured on this machine, one row a line, in a file of the user's own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from lapwing.bench.record import Record
from lapwing.errors import FileError, RequestError

ENVIRONMENT = "LAPWING_BENCH_HISTORY"


def history_path() -> Path | None:
    """LAPWING_BENCH_HISTORY, else XDG_DATA_HOME/lapwing/bench.jsonl, else ~/.local/share/…

    None without a home.
    """
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen)
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not base.is_absolute():  # others are to be ignored, says the XDG specification
        try:
            base = Path.home() / ".local" / "share"
        except RuntimeError:
            return None
    return base / "lapwing" / "bench.jsonl"


def append(records: Iterable[Record], path: Path | None = None) -> Path | None:
    """Adds rows; None where there is no place for them. Raises FileError."""
    path = history_path() if path is None else path
    lines = "".join(json.dumps(record.to_dict(), allow_nan=False) + "\n" for record in records)
    if path is None or not lines:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:  # a line is written whole, or not at all
            file.write(lines)
    except OSError as error:
        raise FileError(
            f"{path}: the history cannot be written ({error.strerror or error}). {ENVIRONMENT} "
            "names another file."
        ) from None
    return path


def read(path: Path) -> tuple[list[Record], list[str]]:
    """(rows, what is wrong with lines that are none): JSON lines, or one JSON list. FileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read ({error}).") from None
    try:
        whole = json.loads(text)
        rows = list(enumerate(whole, 1)) if isinstance(whole, list) else [(1, whole)]
        problems: list[str] = []
    except (ValueError, RecursionError):
        rows, problems = _lines(path, text)
    records = []
    for number, row in rows:
        try:
            if not isinstance(row, dict):
                raise ValueError("no JSON object")
            records.append(Record.of(row))
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    return records, problems


def _lines(path: Path, text: str) -> tuple[list[tuple[int, object]], list[str]]:
    rows: list[tuple[int, object]] = []
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append((number, json.loads(line)))
        except (ValueError, RecursionError):
            problems.append(f"{path}:{number}: no JSON; a run that was cut off, perhaps")
    return rows, problems


def find(name: str, path: Path | None = None) -> list[Record]:
    """Rows by name: a file, a run's id, `last`, or `last~2` for two before it.

    Raises RequestError for a name that is none, and FileError.
    """
    if Path(name).is_file():
        rows, problems = read(Path(name))
        if not rows:
            raise FileError(f"{name}: no row of `lapwing bench` in it. {'; '.join(problems[:1])}")
        return rows
    path = history_path() if path is None else path
    if path is None or not path.is_file():
        raise RequestError(f"{name!r}: no such file, and there is no history yet ({path})")
    rows, _ = read(path)
    ids = list(dict.fromkeys(row.run_id for row in rows))
    wanted = _id_of(name, ids)
    if wanted is None:
        some = ", ".join(ids[-5:]) or "none"
        raise RequestError(
            f"{name!r}: expected a file, last, last~N, or a run of {path}: …, {some}"
        )
    return [row for row in rows if row.run_id == wanted]


def _id_of(name: str, ids: Sequence[str]) -> str | None:
    word, tilde, back = name.partition("~")
    if word == "last" and (back.isdecimal() or not tilde):
        at = len(ids) - 1 - int(back or 0)
        return ids[at] if at >= 0 else None
    return name if name in ids else None
