"""A conversation on a terminal: a line, its answer, and again, until one leaves."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lapwing.cli.answer import print_stream, say_how_it_went
from lapwing.cli.terminal import DIM, say, styled
from lapwing.errors import RequestError

if TYPE_CHECKING:
    from lapwing.engine.model import Model

EXIT, RESET = "/exit", "/reset"
HELP = f"Ctrl-C ends an answer, {RESET} begins anew, {EXIT} or Ctrl-D leaves"
PROMPT = "> "


def opening(system: str | None) -> list[dict[str, Any]]:
    """What a conversation begins with."""
    return [] if system is None else [{"role": "system", "content": system}]


def converse(model: Model, system: str | None, wishes: dict[str, Any], *, quiet: bool) -> None:
    """Answers lines until one leaves. An answer that Ctrl-C ends stays in the conversation.

    One cache serves all of it: of each turn only what is new is computed.
    """
    if not quiet:
        say(styled(HELP, DIM, sys.stderr))
    messages, cache = opening(system), model.kv_cache()
    for line in _lines():
        if line == EXIT:
            return
        if line == RESET:
            messages = opening(system)
            continue
        said = [*messages, {"role": "user", "content": line}]
        try:
            stream = model.chat_stream(said, cache=cache, **wishes)
            print_stream(stream)
        except RequestError as error:  # too long, or not what the template takes
            say(f"{error}\nThat line is forgotten; {RESET} begins anew.", "error")
            continue
        messages = [*said, {"role": "assistant", "content": stream.result.text}]
        if not quiet:
            say_how_it_went(stream.result, model)


def _lines() -> Iterator[str]:
    """What is typed, without empty lines, up to Ctrl-D. Ctrl-C gives up a line, as in a shell."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  has `input` edit lines, and recall them
    while True:
        try:
            line = _ask().strip()
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("")
            continue
        except UnicodeDecodeError as error:
            say(f"that line is not UTF-8 (byte {error.start}); type it again", "warning")
            continue
        if line:
            yield line


def _ask() -> str:
    if sys.stdout.isatty():
        return input(PROMPT)
    print(PROMPT, end="", file=sys.stderr, flush=True)  # standard output is for answers
    return input()
