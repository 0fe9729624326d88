"""`lapwing classify`: labels for texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lapwing.cli import options
from lapwing.cli.loading import at_work_json, loaded
from lapwing.cli.terminal import print_json, table
from lapwing.cli.texts import path_or_pipe, read_records, shortened, single_record
from lapwing.errors import RequestError

if TYPE_CHECKING:
    from lapwing.engine.result import Label
    from lapwing.jobs.records import Record

EXAMPLE = 'lapwing classify MODEL "The wren sang."'


def command(
    model: options.Model,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT",
            help="Without it, texts from --file, or those piped in, one a line.",
            show_default=False,
        ),
    ] = None,
    pair: Annotated[
        str | None,
        typer.Option(
            "--pair",
            metavar="TEXT",
            help="The second text of a pair: of each text with this one.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", metavar="FILE", help="Many texts; - is standard input.", show_default=False
        ),
    ] = None,
    format: options.Format = None,
    column: options.Column = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            "-k",
            "--top-k",
            metavar="N",
            help="Labels of a text.  [default: all of one text, the best of each of several]",
            show_default=False,
        ),
    ] = None,
    dtype: options.Dtype = "auto",
    threads: options.Threads = "auto",
    revision: options.Revision = None,
    load: options.Load = "auto",
    no_store: options.NoStore = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Label texts.

    With a model that was trained to classify, or with a cross-encoder and pairs of texts.
    """
    if text is not None and file is not None:
        raise RequestError("TEXT and --file are given; expected one of them.")
    single = text is not None
    records = (
        [single_record(text)]
        if text is not None
        else read_records(path_or_pipe(file, EXAMPLE), format, column)
    )
    most = 1 if top_k is None and not single else top_k
    with loaded(
        model, dtype, threads, revision, load=load, store=not no_store, quiet=quiet
    ) as encoder:
        labels = encoder.classify(
            [r.text if pair is None else (r.text, pair) for r in records], most
        )
        if json:
            results = [
                {"line": r.line, "text": r.text, "labels": best}
                for r, best in zip(records, labels, strict=True)
            ]
            print_json({"model": model, **at_work_json(encoder), "pair": pair, "results": results})
            return
    print(_one(labels[0]) if single else _several(records, labels))


def _one(labels: list[Label]) -> str:
    rows = [(label.label, f"{label.score:.4f}") for label in labels]
    return table(("label", "score"), rows, right="score")


def _several(records: list[Record], labels: list[list[Label]]) -> str:
    rows = [
        (record.line, label.label, f"{label.score:.4f}", shortened(record.text))
        for record, best in zip(records, labels, strict=True)
        for label in best
    ]
    return table(("line", "label", "score", "text"), rows, right="line,score")
