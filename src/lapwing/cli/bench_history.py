"""`lapwing bench history MODEL`: what was measured here, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapwing.cli import options
from lapwing.cli.terminal import print_json, say, table
from lapwing.errors import RequestError


def command(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="As it was named; all without it.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="A picture (pip install lapwing[bench]).",
                     show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Another history.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:  # fmt: skip
    """List what was measured on this machine, the oldest first."""
    from lapwing.bench import history
    from lapwing.bench.report.view import quality_of

    path = file or history.history_path()
    if path is None or not path.is_file():
        raise RequestError(f"there is no history yet ({path}); lapwing bench MODEL begins one")
    records, problems = history.read(path)
    for problem in problems:
        say(f"left out: {problem}", "warning")
    chosen = [r for r in records if model in (None, r.model_filename)]
    if not chosen:
        names = ", ".join(dict.fromkeys(r.model_filename for r in records)) or "nothing"
        raise RequestError(f"{model!r} was not measured; {path} has {names}")
    if plot is not None:
        from lapwing.bench.report.plots import need_matplotlib, plot_history

        need_matplotlib()
        plot_history(chosen, plot)
    if json:
        print_json([r.to_dict() for r in chosen])
        return
    rows = []
    for r in chosen:
        headline = r.headline
        rows.append(
            (
                r.test_time.replace("T", " ").removesuffix("Z"),
                r.run_id,
                r.model_filename,
                r.mode,
                r.dtype,
                f"{r.n_prompt}+{r.n_gen}",
                "–" if headline is None else f"{1e3 * headline[1]:.3f} {_unit(headline[0])}",
                quality_of(r) or "–",
                "" if r.stable is not False else "unstable",
            )
        )
    headers = ("time (UTC)", "run", "model", "mode", "dtype", "tokens", "median", "quality", "")
    print(table(headers, rows, right="median"))


def _unit(name: str) -> str:
    return "ms/token" if "token" in name else "ms/run"
