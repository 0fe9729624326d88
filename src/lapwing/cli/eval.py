"""`lapwing eval`: what a precision or a checkpoint loses, on one's own text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapwing.cli import options
from lapwing.cli.main import INTERRUPTED
from lapwing.cli.progress import StepsBar
from lapwing.cli.terminal import say
from lapwing.errors import RequestError
from lapwing.jobs.files import check_writable
from lapwing.units import format_bytes, parse_bytes

if TYPE_CHECKING:
    from lapwing.bench.quality.choose import Choice

EXAMPLE = "lapwing eval MODEL --text mine.txt"


def command(
    model: options.Model,
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype",
            metavar="DTYPES",
            help="f32, f16, bf16, int8, int4 or plans (.json), with commas between.",
        ),
    ] = "f32,f16,int8,int4",
    text: Annotated[
        Path | None,
        typer.Option(
            "--text",
            metavar="FILE",
            help="Text like that which the model will meet, UTF-8. An encoder reads its lines.",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        list[Path] | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            help="For an encoder: text, text, score (tabs, or .csv), for Spearman. Repeatable.",
            show_default=False,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="MODEL|FILE",
            help="What is compared with: a model, or a file of --save-reference.  "
            "[default: MODEL itself]",
            show_default=False,
        ),
    ] = None,
    reference_dtype: Annotated[
        str, typer.Option("--reference-dtype", metavar="DTYPE", help="Of a model as the reference.")
    ] = "f32",
    save_reference: Annotated[
        Path | None,
        typer.Option(
            "--save-reference",
            metavar="FILE",
            help="Keep the reference's answers, in less than 50 MB, to be used again.",
            show_default=False,
        ),
    ] = None,
    other_checkpoint: Annotated[
        bool,
        typer.Option(
            "--other-checkpoint", help="The reference file may be of another checkpoint than MODEL."
        ),
    ] = False,
    tokens: Annotated[
        int | None,
        typer.Option(
            "--tokens",
            metavar="N",
            help="Of the text, from its beginning.  [default: 8192; to choose, 4096]",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            metavar="N",
            help="Tokens that are read together.  [default: the context, 512 at most]",
            show_default=False,
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            "--stride",
            metavar="N",
            help="Tokens from the beginning of a window to the next's.  [default: half a window]",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option("--seconds", metavar="S", help="Begin no block that would end later; 0: all."),
    ] = 45.0,
    target_size: Annotated[
        str | None,
        typer.Option(
            "--target-size",
            metavar="SIZE",
            help="Choose matrices to read as int4 so that the weights take no more: 2GB, 600MiB.",
            show_default=False,
        ),
    ] = None,
    max_kl: Annotated[
        float | None,
        typer.Option(
            "--max-kl",
            metavar="NATS",
            help="Choose as many as lose no more than this mean KL.",
            show_default=False,
        ),
    ] = None,
    save_plan: Annotated[
        Path | None,
        typer.Option(
            "--save-plan",
            metavar="FILE",
            help="Where the choice goes; --dtype FILE of every command reads so.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FORMAT", help="table, md, json or jsonl.")
    ] = "table",
    threads: options.Threads = "auto",
    revision: options.Revision = None,
    no_store: options.NoStore = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure what a precision loses, on your text.

    Perplexity, KL divergence and top-1 agreement of a language model, cosine and Spearman of an
    encoder, each with its error, against the reference. With --target-size or --max-kl instead:
    which matrices to read as int4, and which as int8. Ctrl-C prints what was measured.
    """
    from lapwing.cli.eval_tables import FORMATS, print_choice, print_result

    output = "json" if json else output
    if output not in FORMATS:
        raise RequestError(f"-o: expected one of {', '.join(FORMATS)}; got {output!r}")
    if text is None and not pairs:
        raise RequestError(f"no text. Give one:  {EXAMPLE}")
    if seconds < 0:
        raise RequestError(f"--seconds: expected 0 or more, got {seconds}")
    if quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    loading = {"threads": threads, "revision": revision, "store": not no_store}
    limit = seconds or None
    if target_size is not None or max_kl is not None:
        for name, value in (
            ("--reference", reference),
            ("--save-reference", save_reference),
            ("--pairs", pairs),
            ("--window", window),
            ("--stride", stride),
        ):
            if value:
                raise RequestError(f"{name}: is not for choosing a plan")
        with StepsBar("measuring", wanted=not quiet) as bar:
            choice = _choose(model, text, target_size, max_kl, tokens, limit, bar, loading)
        if save_plan is not None:
            check_writable(save_plan)
            choice.plan.write(save_plan)
        print_choice(choice, output)
        return
    if save_plan is not None:
        raise RequestError("--save-plan: there is no plan without --target-size or --max-kl")
    if save_reference is not None:
        check_writable(save_reference)
    from lapwing.bench.quality.evaluate import evaluate

    with StepsBar("measuring", wanted=not quiet) as bar:
        result = evaluate(
            model,
            dtype,
            text=text,
            pairs=pairs or (),
            reference=reference,
            reference_dtype=reference_dtype,
            other_checkpoint=other_checkpoint,
            save_reference=save_reference,
            tokens=tokens,
            window=window,
            stride=stride,
            seconds=limit,
            on_progress=bar,
            **loading,
        )
    print_result(result, output)
    if save_reference is not None and not quiet:
        say(f"kept {save_reference}: {format_bytes(save_reference.stat().st_size)}")
    if result.stopped == "interrupted":
        raise typer.Exit(INTERRUPTED)


def _choose(
    model: str,
    text: Path | None,
    target_size: str | None,
    max_kl: float | None,
    tokens: int | None,
    seconds: float | None,
    bar: StepsBar,
    loading: dict[str, Any],
) -> Choice:
    if text is None:
        raise RequestError("--text: choosing a plan needs one")
    target = None if target_size is None else parse_bytes(target_size)
    if target_size is not None and target is None:
        raise RequestError(f"--target-size: expected a size as 2GB or 600MiB, got {target_size!r}")
    from lapwing.bench.quality.choose import DEFAULT_TOKENS, choose_plan

    return choose_plan(
        model,
        text=text,
        target_bytes=target,
        max_kl=max_kl,
        tokens=DEFAULT_TOKENS if tokens is None else tokens,
        seconds=seconds,
        on_progress=bar,
        **loading,
    )
