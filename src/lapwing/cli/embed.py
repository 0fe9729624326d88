"""`lapwing embed`: texts → vectors."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapwing.cli import options
from lapwing.cli.governing import Governing, tell_of_waiting
from lapwing.cli.loading import at_work, at_work_json, loaded
from lapwing.cli.main import INTERRUPTED
from lapwing.cli.progress import TextsBar
from lapwing.cli.terminal import DIM, counted, print_json, say, styled
from lapwing.cli.texts import path_or_pipe, warn_of_replaced
from lapwing.errors import RequestError
from lapwing.units import format_rate

if TYPE_CHECKING:
    from lapwing.engine.model import Model
    from lapwing.jobs.embed_file import EmbedReport
    from lapwing.jobs.records import Texts

EXAMPLE = "lapwing embed MODEL texts.txt -o vectors.npy"


def command(
    model: options.Model,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="Texts, one a line, or .jsonl, .csv, .tsv; - is standard input.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="TEXT", help="One text, not a file.", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="A .npy or .jsonl file.  [default: JSON lines to standard output]",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where OUT stops; without an OUT, begin.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an OUT that is there.")] = False,
    format: options.Format = None,
    column: options.Column = None,
    normalize: Annotated[
        bool, typer.Option("--normalize/--no-normalize", help="Vectors of length 1.")
    ] = True,
    max_length: Annotated[
        int | None,
        typer.Option(
            "--max-length",
            metavar="N",
            help="Cut texts to so many tokens.  [default: what the model asks for]",
            show_default=False,
        ),
    ] = None,
    no_truncate: Annotated[
        bool, typer.Option("--no-truncate", help="A text that is longer is an error.")
    ] = False,
    prompt_name: Annotated[
        str | None,
        typer.Option(
            "--prompt-name",
            metavar="NAME",
            help="Which of the model's prompts stands before every text: query, passage, …",
            show_default=False,
        ),
    ] = None,
    dtype: options.Dtype = "auto",
    threads: options.Threads = "auto",
    revision: options.Revision = None,
    load: options.Load = "auto",
    no_store: options.NoStore = False,
    profile: options.Profile = None,
    power: options.Power = 100,
    max_temp: options.MaxTemp = None,
    max_watts: options.MaxWatts = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn texts into vectors.

    Row i of OUT belongs to text i. What Ctrl-C or a crash leaves is whole, and goes on with
    --resume: OUT.meta.json beside it says how far it is. With --profile background it works while
    the machine is plugged in, cool and free, and waits while it is not.
    """
    from lapwing.jobs.embed_file import EmbedSettings, check_output, embed_file

    source = _source(file, text)
    target = None if output in (None, "-") else Path(str(output))
    if target is not None:
        check_output(target, source, resume=resume, force=force)
    elif resume or force:
        raise RequestError("--resume and --force are about a file: give one with -o.")
    elif json and text is None:
        raise RequestError("--json prints a report where the vectors go: give a file with -o.")
    governing = Governing(profile, power, max_temp, max_watts).checked()
    stream = io.BytesIO() if json else sys.stdout.buffer
    seen = not quiet and (target is not None or not sys.stdout.isatty())
    with (
        _open(source, text, format, column) as texts,
        loaded(
            model,
            dtype,
            threads,
            revision,
            load=load,
            store=not no_store,
            governing=governing,
            quiet=quiet,
        ) as encoder,
    ):
        settings = EmbedSettings(
            model=str(Path(model)),  # ./m and m/ are one model
            revision=revision,
            dtype=encoder.dtype,
            embedding_size=encoder.embedding_size,
            normalize=normalize,
            max_length=max_length,
            truncate=not no_truncate,
            prompt_name=prompt_name,
            weights=encoder.weights_digest,
        )
        if not quiet:
            tell_of_waiting(encoder)
        with TextsBar("embedding", wanted=seen) as bar:
            report = embed_file(
                encoder,
                texts,
                target or stream,
                settings,
                resume=resume,
                force=force,
                progress=bar,
            )
        warn_of_replaced(texts.name, report.replaced_characters, report.first_replaced_line)
        if json:
            print_json(_report(model, encoder, report, target, stream))
        elif not quiet:
            say(styled(f"{_closing_line(report)} · {at_work(encoder)}", DIM, sys.stderr))
        elif report.truncated:
            say(_truncation(report), "warning")
    if report.interrupted:
        say(_how_to_go_on(report, target), "note")
        raise typer.Exit(INTERRUPTED)


def _source(file: str | None, text: str | None) -> str:
    """A path, or "-"; for one text, its name in messages."""
    if text is None:
        return path_or_pipe(file, EXAMPLE)
    if file is not None:
        raise RequestError("FILE and --text are given; expected one of them.")
    return "--text"


@contextmanager
def _open(source: str, text: str | None, format: str | None, column: str | None) -> Iterator[Texts]:
    from lapwing.jobs.records import open_texts, single_text

    if text is not None:
        yield single_text(text, source)
        return
    with open_texts(source, format, column) as texts:
        yield texts


def _closing_line(report: EmbedReport) -> str:
    before = f" ({report.skipped_texts} of them before)" if report.skipped_texts else ""
    parts = [
        counted(report.texts, "text") + before,
        counted(report.tokens, "token"),
        format_rate(report.texts_per_s, "texts"),
        *([_truncation(report)] if report.truncated else []),
    ]
    return " · ".join(parts)


def _truncation(report: EmbedReport) -> str:
    return (
        f"{counted(report.truncated, 'text')} cut to {report.truncated_to} tokens, "
        f"first: line {report.first_truncated_line}"
    )


def _how_to_go_on(report: EmbedReport, target: Path | None) -> str:
    if target is None or not report.texts:
        return f"interrupted after {counted(report.texts, 'text')}"
    return (
        f"interrupted: {target} has the first {counted(report.texts, 'text')}. The same command "
        "with --resume goes on there."
    )


def _report(
    name: str, model: Model, report: EmbedReport, target: Path | None, stream: Any
) -> dict[str, Any]:
    values = {
        "model": name,
        "output": target,
        **asdict(report),
        "embedding_size": model.embedding_size,
        **at_work_json(model),
    }
    if target is None:
        import json

        values["embedding"] = json.loads(stream.getvalue())["embedding"]
    return values
