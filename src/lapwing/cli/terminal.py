"""What every command prints with. Results go to standard output, everything else to error."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, TextIO

from lapwing.place import StoredPath

DIM, BOLD, RED, YELLOW = "2", "1", "1;31", "1;33"
KIND_COLOURS = {"error": RED, "warning": YELLOW}


def has_colour(stream: TextIO) -> bool:
    """A terminal whose user has not declined colour (no-color.org)."""
    declined = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not declined


def styled(text: str, code: str, stream: TextIO) -> str:
    """`text` in one of the styles above where the stream shows them."""
    return f"\x1b[{code}m{text}\x1b[0m" if text and has_colour(stream) else text


def say(text: str, kind: str = "") -> None:
    """One line on standard error; `kind` stands before it: error, warning, note."""
    sys.stdout.flush()
    before = styled(f"{kind}:", KIND_COLOURS.get(kind, BOLD), sys.stderr) + " " if kind else ""
    print(before + text, file=sys.stderr, flush=True)


def write(text: str) -> None:
    """A piece of the answer, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def table(header: Sequence[str], rows: Sequence[Sequence[object]], right: str = "") -> str:
    """Aligned columns; `right` names those that are aligned on the right, by header."""
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    to_right = [name in right.split(",") for name in header]
    text = [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, to_right, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([styled(text[0], BOLD, sys.stdout), *text[1:]])


def counted(count: int, noun: str) -> str:
    """`(1, "thread")` → `'1 thread'`, `(2, "thread")` → `'2 threads'`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def print_json(value: Any) -> None:
    """One line. Dataclasses become objects; what JSON has no number for becomes null."""
    import json

    print(json.dumps(plain(value), allow_nan=False))


def plain(value: Any) -> Any:
    """Dataclasses, tuples and paths as JSON has them; NaN and infinities as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, (PurePath, StoredPath)) else value
