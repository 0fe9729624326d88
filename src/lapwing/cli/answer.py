"""An answer as a command prints it: the text as it comes, and a line about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lapwing.cli.loading import at_work
from lapwing.cli.terminal import DIM, counted, say, styled, write
from lapwing.units import format_bytes, format_rate, format_seconds

if TYPE_CHECKING:
    from lapwing.engine.generate import TextStream
    from lapwing.engine.model import Model
    from lapwing.engine.result import GenerationResult


def drain(stream: TextStream) -> bool:
    """Runs to the end; True if Ctrl-C came first."""
    try:
        for _ in stream:
            pass
    except KeyboardInterrupt:
        return True
    return False


def print_stream(stream: TextStream, before: str = "") -> bool:
    """Prints the pieces and a line end; True if Ctrl-C came first.

    before: what the text continues; shown on a terminal.
    """
    interrupted, printed = False, 0
    if sys.stdout.isatty():
        write(styled(before, DIM, sys.stdout))
    try:
        for chunk in stream:
            printed += len(chunk.text)
            write(chunk.text)
    except KeyboardInterrupt:
        interrupted = True
    rest = stream.result.text[printed:]  # a piece that was made, and interrupted on its way here
    write(rest if stream.result.text.endswith("\n") else rest + "\n")
    return interrupted


def say_how_it_went(result: GenerationResult, model: Model) -> None:
    """Tokens, speed, memory, and what was at work, on standard error."""
    say(styled(f"{_closing_line(result)} · {at_work(model)}", DIM, sys.stderr))


def _closing_line(result: GenerationResult) -> str:
    from lapwing.backends.machine import peak_resident_bytes

    times, peak = result.timings, peak_resident_bytes()
    parts = [
        f"{counted(len(result.tokens), 'token')} ({result.finish_reason})",
        f"prefill {format_rate(times.prefill_tps)}",
        f"decode {format_rate(times.decode_tps)}",
        f"TTFT {'–' if times.ttft_s is None else format_seconds(times.ttft_s)}",
        f"peak memory {'–' if peak is None else format_bytes(peak)}",
    ]
    return " · ".join(parts)
