"""`lapwing bench compare A B`: is it slower than it was?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lapwing.cli import options
from lapwing.cli.terminal import print_json, say, table
from lapwing.errors import RequestError

if TYPE_CHECKING:
    from lapwing.bench.compare import Comparison

SLOWER = 6  # exit code
Run = Annotated[str, typer.Argument(help="A file of results, a run's id, last, or last~1.")]


def command(
    a: Run,
    b: Run,
    fail_on: Annotated[
        str, typer.Option("--fail-on", metavar="N%", help="How much slower is too much.")
    ] = "5%",
    force: Annotated[
        bool, typer.Option("--force", help="Compare what was not measured alike, too.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Compare two runs, B with A; exit code 6 where B is slower.

    Slower is what is by more than --fail-on, and surely: the 95 % bootstrap interval of the ratio
    lies above 1. Runs of other machines, power sources or settings are refused.
    """
    from lapwing.bench import compare, history

    limit = _percent(fail_on)
    found = compare.compare(history.find(a), history.find(b), limit, force=force)
    if json:
        print_json([_plain(one) for one in found])
    else:
        _print(found)
    if any(one.verdict == "slower" for one in found):
        raise typer.Exit(SLOWER)


def _percent(text: str) -> float:
    number = text.strip().removesuffix("%")
    try:
        value = float(number) / 100
    except ValueError:
        value = -1.0
    if not 0 <= value < 100:
        raise RequestError(f"--fail-on: expected a percentage like 5%, got {text!r}")
    return value


def _print(found: list[Comparison]) -> None:
    rows = [
        (
            one.label,
            _ms(one.a.seconds),
            _ms(one.b.seconds),
            f"{one.ratio.value:.3f} ({one.ratio.low:.3f}–{one.ratio.high:.3f})",
            one.verdict + (", unstable" if one.unstable else ""),
        )
        for one in found
    ]
    print(table(("row", "A ms", "B ms", "time B / A", "B is"), rows, right="A ms,B ms"))
    different = dict.fromkeys(d for one in found for d in one.different)
    for one in different:
        say(f"not alike: {one}", "warning")


def _ms(seconds: dict[str, float] | None) -> str:
    return "–" if seconds is None else f"{1e3 * seconds['median']:.3f}"


def _plain(one: Comparison) -> dict[str, object]:
    return {
        "row": one.label,
        "a": one.a.run_id,
        "b": one.b.run_id,
        "ratio": one.ratio,
        "verdict": one.verdict,
        "different": list(one.different),
        "unstable": one.unstable,
    }
