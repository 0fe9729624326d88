"""An answer as a command prints it: the text as it comes, and a line about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from lapwing.cli.governing import describe
from lapwing.cli.loading import at_work
from lapwing.cli.terminal import DIM, counted, say, styled, write
from lapwing.units import format_bytes, format_rate, format_seconds

if TYPE_CHECKING:
    from lapwing.cli.progress import LoadingBar
    from lapwing.engine.generate import TextStream
    from lapwing.engine.model import Model
    from lapwing.engine.result import GenerationResult, StreamChunk


def drain(stream: TextStream) -> bool:
    """Runs to the end; True if Ctrl-C came first."""
    try:
        for _ in stream:
            pass
    except KeyboardInterrupt:
        return True
    return False


def print_stream(stream: TextStream, before: str = "", bar: LoadingBar | None = None) -> bool:
    """Prints the pieces and a line end; True if Ctrl-C came first.

    before: what the text continues; shown on a terminal. bar: of the weights; where they are still
    being read, it goes on until the first piece is here.
    """
    interrupted, printed = False, 0
    try:
        for chunk in _unveiled(stream, before, bar):
            printed += len(chunk.text)
            write(chunk.text)
    except KeyboardInterrupt:
        interrupted = True
    if bar is not None:
        bar.stop()
    rest = stream.result.text[printed:]  # a piece that was made, and interrupted on its way here
    write(rest if stream.result.text.endswith("\n") else rest + "\n")
    return interrupted


def _unveiled(stream: TextStream, before: str, bar: LoadingBar | None) -> Iterator[StreamChunk]:
    """The pieces, behind `before`; a bar goes first."""
    first = () if bar is None or bar.stopped else tuple(islice(stream, 1))
    if bar is not None:
        bar.stop()
    if sys.stdout.isatty():
        write(styled(before, DIM, sys.stdout))
    yield from first
    yield from stream


def say_how_it_went(result: GenerationResult, model: Model) -> None:
    """Tokens, speed, memory, and what was at work, on standard error."""
    parts = [
        _closing_line(result),
        *_precisions(result, model.dtype),
        *describe(result),
        at_work(model),
    ]
    say(styled(" · ".join(parts), DIM, sys.stderr))


def _closing_line(result: GenerationResult) -> str:
    from lapwing.backends.machine import peak_resident_bytes

    times, peak = result.timings, peak_resident_bytes()
    parts = [
        f"{counted(len(result.tokens), 'token')} ({result.finish_reason})",
        f"load {format_seconds(times.load_s)}",
        f"prefill {format_rate(times.prefill_tps)}",
        f"decode {format_rate(times.decode_tps)}",
        f"TTFT {'–' if times.ttft_s is None else format_seconds(times.ttft_s)}",
        f"peak memory {'–' if peak is None else format_bytes(peak)}",
    ]
    return " · ".join(parts)


def _precisions(result: GenerationResult, dtype: str) -> list[str]:
    """Of an answer that was not all made at the model's own."""
    switches = [switch for switch in result.precision_switches if switch.token]
    if len(switches) == 1:
        before = "int4" if switches[0].dtype == "int8" else "int8"
        return [f"{before} until token {switches[0].token}, then {switches[0].dtype}"]
    if switches:
        return [f"{len(switches)} changes of precision, last {switches[-1].dtype}"]
    return [] if result.dtype == dtype else [f"{result.dtype} throughout"]
