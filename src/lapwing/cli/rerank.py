"""`lapwing rerank`: documents by how well they answer."""

from __future__ import annotations

from typing import Annotated

import typer

from lapwing.cli import options
from lapwing.cli.loading import at_work_json, loaded
from lapwing.cli.terminal import print_json, table
from lapwing.cli.texts import path_or_pipe, read_records, shortened

EXAMPLE = 'lapwing rerank MODEL "Which bird sang?" documents.txt'


def command(
    model: options.Model,
    query: Annotated[str, typer.Argument(metavar="QUERY", show_default=False)],
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="Documents, one a line; - is standard input.",
            show_default=False,
        ),
    ] = None,
    format: options.Format = None,
    column: options.Column = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            "-k", "--top-k", metavar="N", min=1, help="So many of the best.  [default: all]"
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
    """Sort documents by a query.

    Best first, with a cross-encoder: a model that reads query and document together.
    """
    documents = read_records(path_or_pipe(file, EXAMPLE), format, column)
    with loaded(
        model, dtype, threads, revision, load=load, store=not no_store, quiet=quiet
    ) as encoder:
        ranked = encoder.rerank(query, [record.text for record in documents])[:top_k]
        best = [(documents[r.index], r.score) for r in ranked]
        if json:
            results = [{"line": d.line, "score": score, "text": d.text} for d, score in best]
            print_json(
                {"model": model, **at_work_json(encoder), "query": query, "results": results}
            )
            return
    rows = [(f"{score:.4f}", document.line, shortened(document.text)) for document, score in best]
    print(table(("score", "line", "document"), rows, right="score,line"))
