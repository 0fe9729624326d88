"""`lapwing tokenize`: text → tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from lapwing.cli import options
from lapwing.cli.terminal import print_json, table
from lapwing.cli.text_input import read_text

EXAMPLE = 'lapwing tokenize tales "Once upon a time"'


def command(
    model: options.Model,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT",
            help="Without it, what is piped in, less a last line end.",
            show_default=False,
        ),
    ] = None,
    revision: options.Revision = None,
    json: options.Json = False,
) -> None:
    """Show the tokens a text becomes.

    Each with the characters it completes: of a character in several tokens, all but the last have
    none.
    """
    content = read_text(text, "TEXT", EXAMPLE)
    from lapwing.engine.opening import find_small_files
    from lapwing.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.open(find_small_files(model, revision))
    ids = tokenizer.encode(content)
    decoder = tokenizer.stream(skip_special_tokens=False)
    pieces = [decoder.push(token) for token in ids]
    if json:
        print_json({"ids": ids, "pieces": pieces})
        return
    rows = [(token, repr(piece)) for token, piece in zip(ids, pieces, strict=True)]
    print(table(("id", "piece"), rows, right="id"))
