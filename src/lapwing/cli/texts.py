"""The texts a command works on: a file, or what is piped in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lapwing.cli.terminal import counted, say
from lapwing.errors import RequestError

if TYPE_CHECKING:
    from lapwing.jobs.records import Record


def path_or_pipe(path: str | None, example: str) -> str:
    """The path, "-" where something is piped in; raises RequestError where nothing is."""
    if path is not None:
        return path
    if sys.stdin is None or sys.stdin.isatty():
        raise RequestError(f"no texts. Give some:  {example}\nor pipe them in:  … | lapwing …")
    return "-"


def read_records(path: str, format: str | None, column: str | None) -> list[Record]:
    """All of them; what was no character is told."""
    from lapwing.jobs.records import open_texts

    with open_texts(path, format, column) as texts:
        records = list(texts)
        warn_of_replaced(texts.name, texts.replaced, texts.first_replaced_line)
    return records


def single_record(text: str) -> Record:
    """An argument; bytes of it that are not UTF-8 are told."""
    from lapwing.jobs.records import single_text

    texts = single_text(text, "TEXT")
    (record,) = texts
    warn_of_replaced(texts.name, texts.replaced, texts.first_replaced_line)
    return record


def warn_of_replaced(name: str, count: int, first_line: int | None) -> None:
    """Nothing where nothing was."""
    if count:
        say(
            f"{name}: {counted(count, 'character')} became U+FFFD, not being UTF-8 or being half "
            f"of a pair; the first is in line {first_line}",
            "warning",
        )


def shortened(text: str, most: int = 60) -> str:
    """On one line, for a table."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
