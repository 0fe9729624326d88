"""`lapwing pack`: make a model's store now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapwing.cli import options
from lapwing.cli.progress import LoadingBar
from lapwing.cli.terminal import print_json
from lapwing.units import format_bytes


def command(
    model: options.Model,
    dtype: options.Dtype = "auto",
    planes: Annotated[
        str,
        typer.Option(
            "--planes",
            metavar="WHICH",
            help="both, or base: half of it, which serves int4 alone (what auto is then).",
        ),
    ] = "both",
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="A file of your own, which runs alone: lapwing run FILE.  [default: the cache]",
            show_default=False,
        ),
    ] = None,
    threads: options.Threads = "auto",
    revision: options.Revision = None,
    json: options.Json = False,
) -> None:
    """Convert a model's weights, for good.

    Into a store that every later load maps; the first load makes the same one.
    """
    from lapwing.engine.making import make_store

    with LoadingBar("packing", wanted=not json) as bar:
        stored = make_store(
            model,
            dtype,
            revision,
            planes=planes,
            to=None if output is None else Path(output),
            threads=threads,
            progress=bar,
        )
    if json:
        print_json(
            {
                "model": model,
                "needed": stored is not None,
                "path": stored and stored.path,
                "bytes": stored and stored.nbytes,
                "scheme": stored and stored.scheme,
                "planes": stored and stored.planes,
            }
        )
    elif stored is None:
        print(f"{model}: {dtype} is read where the checkpoint has it; no store is needed")
    else:
        which = "" if stored.planes is None else f" ({stored.planes})"
        print(f"{stored.path}: {format_bytes(stored.nbytes)}, {stored.scheme}{which}")
