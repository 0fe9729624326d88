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
