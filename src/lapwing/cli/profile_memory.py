"""`lapwing profile-memory`: what a model's memory consists of."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapwing.cli import options
from lapwing.cli.terminal import print_json, table
from lapwing.units import format_bytes

if TYPE_CHECKING:
    from lapwing.bench.memory_profile import MemoryProfile, Part


def command(
    model: options.Model,
    dtype: options.Dtype = "auto",
    prompt: Annotated[
        int, typer.Option("-p", "--n-prompt", min=1, metavar="N", help="Tokens of the prompt.")
    ] = 128,
    gen: Annotated[
        int, typer.Option("-n", "--n-gen", min=1, metavar="N", help="Tokens of the answer.")
    ] = 64,
    load: options.Load = "auto",
    revision: options.Revision = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="A picture (pip install lapwing[bench]).",
                     show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:  # fmt: skip
    """Say what a model's memory consists of.

    A fresh process loads the model, reads a prompt and decodes an answer; another one looks at its
    memory every millisecond. Private pages are the process's own. Mapped ones are files' pages:
    several processes share them, and the system may drop them.
    """
    from lapwing.bench.memory_profile import profile_memory

    if plot is not None:
        from lapwing.bench.report.plots import need_matplotlib

        need_matplotlib()
    with tempfile.TemporaryDirectory(prefix="lapwing-bench-") as work:
        profile = profile_memory(
            model, dtype, prompt, gen, work=Path(work), revision=revision, load=load
        )
    if plot is not None and profile.timeline:
        from lapwing.bench.contestant import PHASES
        from lapwing.bench.report.plots import plot_memory

        plot_memory(profile.timeline, PHASES, f"{model}, {profile.dtype}", plot)
    if json:
        print_json(profile)
        return
    _print(profile)


def _print(profile: MemoryProfile) -> None:
    print(
        f"{profile.model}, {profile.dtype}, load {profile.load}: prompt of {profile.n_prompt} "
        f"tokens, answer of {profile.n_gen}\n"
    )
    rows = [_row(part) for part in profile.parts]
    print(table(("part", "held", "private", "mapped", ""), rows, right="held,private,mapped"))
    peaks = [
        (phase, *(_bytes(kinds.get(kind)) for kind in ("rss", "pss", "anon", "file", "swap")))
        for phase, kinds in profile.peaks.items()
    ]
    if peaks:
        headers = ("peak in", "RSS", "PSS", "private", "mapped", "swap")
        print("\n" + table(headers, peaks, right="RSS,PSS,private,mapped,swap"))


def _row(part: Part) -> tuple[str, ...]:
    sizes = (part.held_bytes, part.private_bytes, part.mapped_bytes)
    return (part.name, *map(_bytes, sizes), part.reason or "")


def _bytes(value: int | None) -> str:
    return "–" if value is None else format_bytes(value)
