"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A directory, a bundled model (tales), or a hub id: org/name, org/name@revision.",
        show_default=False,
    ),
]
HubName = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@REV]", help="A hub id: org/name, org/name@revision.", show_default=False
    ),
]
Dtype = Annotated[
    str, typer.Option("--dtype", metavar="DTYPE", help="auto (int8), f32, f16, bf16, int8 or int4.")
]
Threads = Annotated[
    str,
    typer.Option("-t", "--threads", metavar="N", help="A number, or auto: one a physical core."),
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="REV",
        help="Branch, tag or commit of a hub model.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Print the result and warnings, nothing else.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Of the file: lines, jsonl, csv or tsv.  [default: by its extension, else lines]",
        show_default=False,
    ),
]
Column = Annotated[
    str | None,
    typer.Option(
        "--column",
        metavar="NAME",
        help="Where the text is in JSONL, CSV or TSV.  [default: text, or the only column]",
        show_default=False,
    ),
]
