"""The text a command works on: an argument, or what is piped in."""

from __future__ import annotations

import os
import sys

from lapwing.cli.terminal import say
from lapwing.errors import RequestError


def read_text(argument: str | None, name: str, example: str) -> str:
    """The argument, else standard input without its last line end, as `$(…)` of a shell has it.

    Bytes that are not UTF-8 are replaced, which is said. Raises RequestError where there is none.
    """
    if argument is not None:
        return _decode(os.fsencode(argument), name)
    if sys.stdin is None or sys.stdin.isatty():
        raise RequestError(f"no {name}. Give one:  {example}\nor pipe it in:  … | lapwing …")
    raw = sys.stdin.buffer.read()
    if not raw:
        raise RequestError(f"no {name}, and standard input is empty. Give one:  {example}")
    return _decode(raw.removesuffix(b"\n").removesuffix(b"\r"), "standard input")


def _decode(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        text = raw.decode("utf-8", "replace")
        say(f"{where} is not UTF-8 (byte {error.start}); what is not became U+FFFD", "warning")
        return text
