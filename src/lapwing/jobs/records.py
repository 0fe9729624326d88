"""Texts out of a file: lines, JSONL, CSV or TSV, one at a time, however large it is."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lapwing.errors import FileError, RequestError
from lapwing.jobs.files import open_to_read

FORMATS = ("lines", "jsonl", "csv", "tsv")
EXTENSIONS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}
# Lines of these would be nonsense; any other extension is taken for lines.
NOT_LINES = (".json", ".parquet", ".npy", ".xlsx", ".pdf", ".gz", ".bz2", ".xz", ".zst", ".zip")
DEFAULT_COLUMN = "text"
STANDARD_INPUT = "-"

_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_REPLACEMENT = "\ufffd"
_SURROGATE = re.compile("[\ud800-\udfff]")
_CHUNK_BYTES = 1 << 18
_FIELD_LIMIT = 2**31 - 1  # characters; the largest that csv takes on every platform


@dataclass(frozen=True)
class Record:
    """One text; `line` (from 1) is where it begins, `end_bytes` how much input it ends after."""

    text: str
    line: int
    end_bytes: int


class Texts:
    """The records of a stream, read once, in order.

    What is not UTF-8, and half a surrogate pair that JSON spells, becomes U+FFFD and is counted in
    `replaced`. Lines end as on any system. JSONL: an object with a string under `column`, or a bare
    string; blank lines are skipped, as in CSV. CSV: a header, and `column`, else "text", else the
    only one. Raises FileError for input that is not what it should be.
    """

    def __init__(
        self,
        stream: IO[bytes],
        name: str,
        format: str = "lines",
        column: str | None = None,
        *,
        total_bytes: int | None = None,
    ) -> None:
        if format not in FORMATS:
            raise RequestError(f"format: expected one of {', '.join(FORMATS)}; got {format!r}")
        if format == "lines" and column is not None:
            raise RequestError(
                f"column: {name} is read as lines, which have no column {column!r}. "
                "Say which format it has: jsonl, csv or tsv."
            )
        self.name, self.format, self.column, self.total_bytes = name, format, column, total_bytes
        self.replaced = 0  # characters
        self.first_replaced_line: int | None = None
        self._lines = _split(stream)
        self._line, self._end_bytes = 0, 0

    def __iter__(self) -> Iterator[Record]:
        readers = {"lines": self._read_lines, "jsonl": self._read_jsonl}
        return readers.get(self.format, self._read_csv)()

    def _read_lines(self) -> Iterator[Record]:
        for line in self._decoded():
            yield self._record(line.removesuffix("\n").removesuffix("\r"), self._line)

    def _read_jsonl(self) -> Iterator[Record]:
        for line in self._decoded():
            if not line.isspace():
                yield self._record(self._repaired(self._json_text(line)), self._line)

    def _read_csv(self) -> Iterator[Record]:
        delimiter = "\t" if self.format == "tsv" else ","
        rows = csv.reader(self._decoded(), delimiter=delimiter, strict=True)
        header = self._next_row(rows)
        if header is None:
            return
        at = self._choose_column(header)
        while True:
            line = self._line + 1
            row = self._next_row(rows)
            if row is None:
                return
            if not row:
                continue
            if len(row) != len(header):
                raise self._error(
                    line,
                    f"{len(row)} fields, and the header has {len(header)} ({', '.join(header)}). "
                    "A field with a delimiter in it stands in double quotes.",
                )
            yield self._record(row[at], line)

    def _decoded(self) -> Iterator[str]:
        """Lines with their ends."""
        for raw in self._lines:
            self._line += 1
            self._end_bytes += len(raw)
            if self._line == 1:
                if raw.startswith(_UTF16_BOMS):
                    raise self._error(1, "the file is UTF-16. Save it as UTF-8.")
                raw = raw.removeprefix(_BOM)
                if not raw:  # nothing but the mark
                    return
            try:
                yield raw.decode("utf-8")
            except UnicodeDecodeError:
                text = raw.decode("utf-8", "replace")
                there_before = raw.count(_REPLACEMENT.encode())
                self._count_replaced(text.count(_REPLACEMENT) - there_before)
                yield text

    def _record(self, text: str, line: int) -> Record:
        return Record(text, line, self._end_bytes)

    def _json_text(self, line: str) -> str:
        try:
            value: Any = json.loads(line.strip())
        except RecursionError:
            raise self._error(self._line, "JSON that is nested too deeply.") from None
        except ValueError as error:
            why = getattr(error, "msg", str(error))  # without the "line 1" that it has seen
            raise self._error(self._line, f"not JSON ({why}): {_shown(line)}.") from None
        if isinstance(value, dict):
            column = DEFAULT_COLUMN if self.column is None else self.column
            if column not in value:
                raise self._error(self._line, _no_column(column, list(value)))
            value, what = value[column], f"{column!r}"
        else:
            what = "a line"
        if not isinstance(value, str):
            raise self._error(
                self._line, f"{what}: expected a string, got {_shown(json.dumps(value))}."
            )
        return value

    def _repaired(self, text: str) -> str:
        text, halves = _SURROGATE.subn(_REPLACEMENT, text)
        self._count_replaced(halves)
        return text

    def _count_replaced(self, count: int) -> None:
        if count and self.first_replaced_line is None:
            self.first_replaced_line = self._line
        self.replaced += count

    def _next_row(self, rows: Iterator[list[str]]) -> list[str] | None:
        line = self._line + 1
        limit = csv.field_size_limit(_FIELD_LIMIT)  # of the whole process: others have theirs
        try:
            return next(rows, None)
        except csv.Error as error:
            kind = self.format.upper()
            raise self._error(line, f"a row that is not {kind} begins here: {error}.") from None
        finally:
            csv.field_size_limit(limit)

    def _choose_column(self, header: list[str]) -> int:
        wanted = DEFAULT_COLUMN if self.column is None else self.column
        if self.column is None and len(header) == 1 and not re.search(r"[;\t|]", header[0]):
            return 0
        if header.count(wanted) != 1:
            many = f"{header.count(wanted)} columns are called {wanted!r}."
            raise self._error(1, many if wanted in header else _no_column(wanted, header))
        return header.index(wanted)

    def _error(self, line: int, message: str) -> FileError:
        return FileError(f"{self.name}, line {line}: {message}")


def choose_format(path: str) -> str:
    """By the extension; lines where that says nothing. Raises RequestError where it says no."""
    extension = Path(path).suffix.lower()
    if extension in NOT_LINES:
        raise RequestError(
            f"{path}: {extension} files are not read. Expected text, one a line, or "
            f"{', '.join(EXTENSIONS)}; if it is that, say which: {', '.join(FORMATS)}."
        )
    return EXTENSIONS.get(extension, "lines")


@contextmanager
def open_texts(path: str, format: str | None = None, column: str | None = None) -> Iterator[Texts]:
    """Of a file, or of standard input for "-"; the format is the extension's unless given."""
    chosen = choose_format(path) if format is None else format
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise FileError("standard input is closed. Give a file.")
        stream: IO[bytes] = sys.stdin.buffer
        yield Texts(stream, "standard input", chosen, column, total_bytes=_size(stream))
        return
    with open_to_read(Path(path)) as stream:
        yield Texts(stream, path, chosen, column, total_bytes=_size(stream))


def single_text(text: str, name: str) -> Texts:
    """One text, whatever is in it."""
    content = json.dumps(text).encode()
    return Texts(io.BytesIO(content), name, "jsonl", total_bytes=len(content))


def _size(stream: IO[bytes]) -> int | None:
    """None for a pipe or a terminal."""
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _split(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines with their ends: \\n, \\r\\n or \\r, which no other character contains in UTF-8."""
    read: Any = getattr(stream, "read1", stream.read)  # what a pipe has, at once
    begun: list[bytes] = []  # pieces of a line
    while chunk := read(_CHUNK_BYTES):
        if begun and begun[-1].endswith(b"\r"):
            chunk = begun.pop() + chunk
        lines = chunk.splitlines(keepends=True)
        if len(lines) > 1 or lines[0].endswith(b"\n"):
            lines[0] = b"".join((*begun, lines[0]))
            begun = []
        if not lines[-1].endswith(b"\n"):
            begun.append(lines.pop())
        yield from lines
    if begun:
        yield b"".join(begun)


def _no_column(wanted: str, there: list[str]) -> str:
    return f"no column {wanted!r}; there {_are(there)}."


def _are(names: list[str]) -> str:
    if not names:
        return "is none"
    return ("is " if len(names) == 1 else "are ") + ", ".join(map(repr, names))


def _shown(text: str, most: int = 60) -> str:
    text = text.strip()
    return text if len(text) <= most else text[: most - 1] + "…"
