"""`lapwing fill-mask`: the likeliest words for a gap."""

from __future__ import annotations

from typing import Annotated

import typer

from lapwing.cli import options
from lapwing.cli.loading import at_work_json, loaded
from lapwing.cli.terminal import print_json, table
from lapwing.cli.text_input import read_text

EXAMPLE = 'lapwing fill-mask MODEL "The [MASK] sang."'


def command(
    model: options.Model,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT",
            help="With the model's mask token ([MASK], <mask>) for each word that is missing; "
            "without it, what is piped in, less a last line end.",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[
        int, typer.Option("-k", "--top-k", metavar="N", help="Tokens for each mask.")
    ] = 5,
    dtype: options.Dtype = "auto",
    threads: options.Threads = "auto",
    revision: options.Revision = None,
    load: options.Load = "auto",
    no_store: options.NoStore = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fill the gaps of a text.

    The likeliest tokens for each mask, best first, with their probabilities.
    """
    content = read_text(text, "TEXT", EXAMPLE)
    with loaded(
        model, dtype, threads, revision, load=load, store=not no_store, quiet=quiet
    ) as encoder:
        masks = encoder.fill_mask(content, top_k)
        if json:
            print_json({"model": model, **at_work_json(encoder), "text": content, "masks": masks})
            return
    for i, fillings in enumerate(masks):
        rows = [(f.token, f"{f.score:.4f}", f.text) for f in fillings]
        print(("\n" if i else "") + table(("token", "score", "text"), rows, right="score"))
