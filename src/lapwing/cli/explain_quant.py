"""`lapwing explain-quant`: one number at every precision."""

from __future__ import annotations

from typing import Annotated

import typer

from lapwing.cli import options
from lapwing.cli.terminal import print_json, table


def command(
    value: Annotated[float, typer.Argument(metavar="VALUE", show_default=False)],
    range_: Annotated[
        tuple[float, float],
        typer.Option(
            "--range",
            metavar="LOW HIGH",
            help="The weights of its group lie between these.  [default: -4 4]",
            show_default=False,
        ),
    ] = (-4.0, 4.0),
    json: options.Json = False,
) -> None:
    """Show one number at every precision.

    For int8 and int4 it stands in a group of 32 weights that span the range.
    """
    from lapwing.quant.explain import explain

    low, high = range_
    readings = explain(value, low, high)
    if json:
        print_json({"value": value, "low": low, "high": high, "readings": readings})
        return
    rows = [(r.dtype, f"{r.bits:g}", r.code, f"{r.value:.9g}", f"{r.error:+.3g}") for r in readings]
    print(table(("dtype", "bits", "code", "value", "error"), rows, right="bits,value,error"))
