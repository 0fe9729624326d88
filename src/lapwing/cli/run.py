"""`lapwing run`: continue a text."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapwing.cli import options
from lapwing.cli.loading import at_work, loaded
from lapwing.cli.main import INTERRUPTED
from lapwing.cli.terminal import DIM, counted, print_json, say, styled, write
from lapwing.cli.text_input import read_text
from lapwing.units import format_bytes, format_rate, format_seconds

if TYPE_CHECKING:
    from lapwing.engine.generate import TextStream
    from lapwing.engine.model import Model
    from lapwing.engine.result import GenerationResult

EXAMPLE = 'lapwing run tales "Once upon a time"'


def command(
    model: options.Model,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="Text to continue; without it, what is piped in, less a last line end.",
            show_default=False,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--max-tokens",
            metavar="N",
            help="Stop after so many.  [default: 128, or what fits]",
        ),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            "--temp", "--temperature", metavar="T", help="0 always takes the likeliest token."
        ),
    ] = 0.0,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", help="The same seed draws the same text.", show_default=False
        ),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            "--stop", metavar="TEXT", help="Stop before this text. Repeatable.", show_default=False
        ),
    ] = None,
    dtype: options.Dtype = "auto",
    threads: options.Threads = "auto",
    revision: options.Revision = None,
    json: options.Json = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print the text and nothing else.")
    ] = False,
) -> None:
    """Continue a text.

    The continuation goes to standard output as it comes, after the prompt if that is a terminal;
    speed and memory go to standard error. Ctrl-C ends it and keeps what there is.
    """
    text = read_text(prompt, "PROMPT", EXAMPLE)
    from lapwing.engine.request import GenerationRequest

    wishes: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
        "stop": tuple(stop or ()),
    }
    GenerationRequest.of(wishes)  # a mistake is told before a model is loaded
    with loaded(model, dtype, threads, revision, quiet=quiet) as network:
        stream = network.stream(text, **wishes)
        interrupted = _drain(stream) if json else _print_stream(stream, text)
        result = stream.result
        if json:
            print_json(_report(model, network, result))
        elif not quiet:
            say(styled(f"{_closing_line(result)} · {at_work(network)}", DIM, sys.stderr))
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if result.backend != "reference" and not quiet:
        from lapwing.cli.first_run import introduce_compiled

        introduce_compiled(result.backend, result.isa, result.threads)


def _drain(stream: TextStream) -> bool:
    """Runs to the end; True if Ctrl-C came first."""
    try:
        for _ in stream:
            pass
    except KeyboardInterrupt:
        return True
    return False


def _print_stream(stream: TextStream, prompt: str) -> bool:
    """Prints the pieces and a line end; True if Ctrl-C came first."""
    interrupted, printed = False, 0
    if sys.stdout.isatty():
        write(styled(prompt, DIM, sys.stdout))
    try:
        for chunk in stream:
            printed += len(chunk.text)
            write(chunk.text)
    except KeyboardInterrupt:
        interrupted = True
    rest = stream.result.text[printed:]  # a piece that was made, and interrupted on its way here
    write(rest if stream.result.text.endswith("\n") else rest + "\n")
    return interrupted


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


def _report(name: str, model: Model, result: GenerationResult) -> dict[str, Any]:
    from lapwing.backends.machine import peak_resident_bytes, resident_bytes

    memory = {
        "weights_bytes": model.estimate_memory_usage(),
        "resident_bytes": resident_bytes(),
        "peak_resident_bytes": peak_resident_bytes(),
    }
    return {
        "model": name,
        **result.to_dict(),
        "requested_dtype": model.requested_dtype,
        "stored_dtype": model.stored_dtype,
        "memory": memory,
    }
