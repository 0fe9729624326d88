"""`lapwing bench MODEL [MODE]`: from options to one request, and from its results to a reader."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lapwing.cli import options
from lapwing.cli.main import INTERRUPTED
from lapwing.cli.progress import LoadingBar, WorkBar
from lapwing.cli.terminal import say, write
from lapwing.errors import FileError, RequestError

if TYPE_CHECKING:
    from lapwing.bench.configuration import Request
    from lapwing.bench.record import Record
    from lapwing.bench.session import Results

Number = TypeVar("Number", int, float)
FORMATS = ("table", "md", "json", "jsonl", "csv", "html")
DEPTHS, BATCHES, LENGTHS = "0,512-4096*2", "1,8,32", "16,64,128"


def command(
    model: options.Model,
    mode: Annotated[
        str,
        typer.Argument(
            metavar="[MODE]",
            help="latency, sweep, frontier (speed at depth), sustained, energy, memory, load, "
            "embed, quality, or vs.",
        ),
    ] = "latency",
    peers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PEER]...", help="Of vs: llama.cpp, torch, … [default: all here]"),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option("--dtype", metavar="LIST", help="f32,f16,bf16,int8,int4, auto, plan.json"),
    ] = "auto",
    threads: Annotated[
        str,
        typer.Option("-t", "--threads", metavar="LIST", help="1,2,4 or 1-8+1; auto: the best."),
    ] = "auto",
    prompt: Annotated[
        str | None,
        typer.Option("-p", "--n-prompt", metavar="LIST", help="Tokens of a prompt.  [default: 128]",
                     show_default=False),
    ] = None,
    gen: Annotated[
        str | None,
        typer.Option("-n", "--n-gen", metavar="LIST", help="Tokens of an answer.  [default: 64]",
                     show_default=False),
    ] = None,
    depth: Annotated[
        str | None,
        typer.Option("-d", "--n-depth", metavar="LIST", help="Tokens in the cache before.",
                     show_default=False),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option("-b", "--batch", metavar="LIST", help="Prompts, or texts, side by side.",
                     show_default=False),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option("-r", "--runs", metavar="N", help="At least so many.  [default: 10]",
                     show_default=False),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="S", help="And for at least so long.  [default: 5]",
                     show_default=False),
    ] = None,
    cool: Annotated[
        float | None,
        typer.Option("--cool", metavar="S", help="Wait so long for a machine that drifted; 0: mark "
                     "the rows.  [default: 30]", show_default=False),
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", metavar="M", help="Of sustained.")] = 15.0,
    text: Annotated[
        Path | None,
        typer.Option("--text", metavar="FILE", help="Read by prompts and quality.",
                     show_default=False),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Does it work? Two short runs; believe nothing.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the order of turns.")] = 0,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FORMAT", help=", ".join(FORMATS) + ".")
    ] = "table",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write there, not to standard output.",
                     show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="A picture (pip install lapwing[bench]).",
                     show_default=False),
    ] = None,
    no_save: Annotated[bool, typer.Option("--no-save", help="Leave the history alone.")] = False,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Leave out that pass.")] = False,
    no_quality: Annotated[bool, typer.Option("--no-quality", help="And that one.")] = False,
    revision: options.Revision = None,
    load: options.Load = "auto",
    python: Annotated[
        str | None,
        typer.Option("--python", metavar="PATH", help="Of vs: the interpreter that peers are in.",
                     show_default=False),
    ] = None,
    sysfs: Annotated[
        str | None,
        typer.Option("--sysfs", metavar="ROOT", help="Where sensors are read.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As -o json.")] = False,
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Measure a model's speed, memory, energy, heat and quality.

    Each configuration runs in a process of its own; they take turns in random order, until each has
    ten runs and five seconds; a fixed piece of work in between tells whether the machine drifted.
    What cannot be measured here is null, with its reason.
    """
    output = "json" if json else output
    if output not in FORMATS:
        raise RequestError(f"-o: expected one of {', '.join(FORMATS)}; got {output!r}")
    if plot is not None:
        from lapwing.bench.report.plots import need_matplotlib

        need_matplotlib()
    with tempfile.TemporaryDirectory(prefix="lapwing-bench-") as work:
        request = _request(
            model, mode, tuple(peers or ()), work=Path(work), dtype=dtype, threads=threads,
            prompt=prompt, gen=gen, depth=depth, batch=batch, runs=runs, seconds=seconds,
            cool=cool,
            minutes=minutes, text=text, quick=quick, seed=seed, memory=not no_memory,
            quality=not no_quality, revision=revision, load=load, python=python, sysfs=sysfs,
        )  # fmt: skip
        results = _measure(request, quiet)
    deliver(results.records, output, out)
    for skipped in results.skipped:
        say(f"skipped: {skipped}", "note")
    if plot is not None and results.records:
        from lapwing.bench.report.plots import plot_results

        plot_results(results.records, plot)
    if not no_save and not quick:
        _save(results.records, quiet)
    if results.interrupted:
        raise typer.Exit(INTERRUPTED)


def _request(
    model: str,
    mode: str,
    peers: tuple[str, ...],
    *,
    work: Path,
    dtype: str,
    threads: str,
    prompt: str | None,
    gen: str | None,
    depth: str | None,
    batch: str | None,
    runs: int | None,
    seconds: float | None,
    cool: float | None,
    minutes: float,
    text: Path | None,
    quick: bool,
    seed: int,
    memory: bool,
    quality: bool,
    revision: str | None,
    load: str,
    python: str | None,
    sysfs: str | None,
) -> Request:
    from dataclasses import replace
    from itertools import product

    from lapwing.bench import configuration
    from lapwing.bench.configuration import MODES, Configuration, Request
    from lapwing.bench.ranges import parse_numbers
    from lapwing.bench.rules import Rules

    if mode not in MODES:
        raise RequestError(f"mode: expected one of {', '.join(MODES)}; got {mode!r}")
    if peers and mode != "vs":
        raise RequestError(f"{peers[0]!r}: only mode vs takes names behind it")
    if not 0 < minutes <= 1440:
        raise RequestError(f"--minutes: expected more than 0, up to 1440; got {minutes:g}")
    rules = Rules.quick() if quick else Rules()
    rules = replace(rules, seed=seed)
    if runs is not None:
        rules = replace(rules, min_runs=_at_least("--runs", runs, 1))
    if seconds is not None:
        rules = replace(rules, min_s=_at_least("--seconds", seconds, 0))
    if cool is not None:
        rules = replace(rules, cool_s=_at_least("--cool", cool, 0))
    default_p, default_n = (
        (configuration.QUICK_PROMPT, configuration.QUICK_GEN)
        if quick
        else (configuration.N_PROMPT, configuration.N_GEN)
    )
    if mode == "embed":
        prompt, batch = prompt or ("8,16" if quick else LENGTHS), batch or BATCHES
    if mode == "frontier":
        prompt, depth = prompt or "1", depth or ("0,16" if quick else DEPTHS)
    grid = product(
        [one.strip() for one in dtype.split(",")],
        ["auto"] if threads in ("auto", "measure") else parse_numbers("--threads", threads),
        parse_numbers("-p", prompt or str(default_p)),
        parse_numbers("-n", gen or str(default_n)),
        parse_numbers("-d", depth or "0", 0),
        parse_numbers("-b", batch or "1"),
    )
    configurations = tuple(
        Configuration(each, str(t), p, n, d, b, load) for each, t, p, n, d, b in grid
    )
    return Request(
        model=model,
        mode=mode,
        configurations=tuple(dict.fromkeys(configurations)),
        work=work,
        rules=rules,
        revision=revision,
        text=None if text is None else _text(text),
        text_source=None if text is None else str(text),
        quick=quick,
        quality=quality,
        memory=memory,
        minutes=minutes,
        peers=peers,
        python=python,
        sysfs=sysfs,
    )


def _at_least(option: str, value: Number, least: int) -> Number:
    if not value >= least:
        raise RequestError(f"{option}: expected {least} or more, got {value:g}")
    return value


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read as UTF-8 text ({error}).") from None
    if not text.split():
        raise FileError(f"{path}: there is no text in it")
    return text


def _measure(request: Request, quiet: bool) -> Results:
    from lapwing.bench.modes import measure
    from lapwing.bench.session import Watcher

    with (
        LoadingBar("loading", wanted=not quiet) as loading,
        WorkBar("measuring", wanted=not quiet) as working,
    ):
        return measure(request, Watcher(load=loading, work=working, say=working.say))


def deliver(records: Sequence[Record], output: str, out: Path | None) -> None:
    """Prints the results, or writes them into a file."""
    if output == "table" and out is None:
        from lapwing.cli.bench_table import print_table

        print_table(records)
        return
    if output == "html":
        from lapwing.bench.report.page import page

        text = page(records)
    else:
        from lapwing.bench.report.files import WRITERS

        text = WRITERS["md" if output == "table" else output](records)
    if out is None:
        write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(f"{out}: cannot be written ({error.strerror or error})") from None


def _save(records: Sequence[Record], quiet: bool) -> None:
    from lapwing.bench import history

    try:
        path = history.append(records)
    except FileError as error:
        say(str(error), "warning")
        return
    if path is not None and not quiet and sys.stderr.isatty():
        say(f"kept as run {records[0].run_id} in {path}")
