"""`lapwing run`: continue a text, or answer a message."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapwing.cli import options
from lapwing.cli.answer import drain, print_stream, say_how_it_went
from lapwing.cli.conversation import converse, opening
from lapwing.cli.governing import Governing, introduce_battery
from lapwing.cli.loading import loaded
from lapwing.cli.main import INTERRUPTED
from lapwing.cli.progress import LoadingBar
from lapwing.cli.terminal import print_json
from lapwing.cli.text_input import read_text
from lapwing.errors import RequestError

if TYPE_CHECKING:
    from lapwing.engine.model import Model
    from lapwing.engine.result import GenerationResult

EXAMPLE = 'lapwing run tales "Once upon a time"'
CHAT_EXAMPLE = 'lapwing run MODEL --chat "Hello"'


def command(
    model: options.Model,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="Text to continue; without it, what is piped in, less a last line end.",
            show_default=False,
        ),
    ] = None,
    chat: Annotated[
        bool,
        typer.Option(
            "--chat",
            help="PROMPT is a message, written as the model's chat template has it; without one, "
            "on a terminal, a conversation.",
        ),
    ] = False,
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            metavar="TEXT",
            help="With --chat: what the model is told first.",
            show_default=False,
        ),
    ] = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = 0.0,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    min_p: options.MinP = None,
    typical_p: options.TypicalP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    presence_penalty: options.PresencePenalty = None,
    frequency_penalty: options.FrequencyPenalty = None,
    logit_bias: options.LogitBias = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    ignore_eos: options.IgnoreEos = False,
    logprobs: options.Logprobs = None,
    dtype: options.Dtype = "auto",
    threads: options.Threads = "auto",
    revision: options.Revision = None,
    load: options.Load = "auto",
    no_store: options.NoStore = False,
    rising: Annotated[
        bool,
        typer.Option(
            "--rising",
            help="Begin at int4, and go on at int8 as soon as what that takes has been read.",
        ),
    ] = False,
    profile: options.Profile = None,
    power: options.Power = 100,
    max_temp: options.MaxTemp = None,
    max_watts: options.MaxWatts = None,
    energy_budget: options.EnergyBudget = None,
    battery_floor: options.BatteryFloor = None,
    switch_precision: options.SwitchPrecision = "request",
    json: options.Json = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print the text and nothing else.")
    ] = False,
) -> None:
    """Continue a text, or chat.

    The continuation goes to standard output as it comes, after the prompt if that is a terminal;
    speed and memory go to standard error. Ctrl-C ends it and keeps what there is.
    """
    typed = chat and prompt is None and sys.stdin is not None and sys.stdin.isatty()
    _check_doors(chat=chat, typed=typed, system=system, json=json, logprobs=logprobs)
    text = "" if typed else read_text(prompt, "PROMPT", CHAT_EXAMPLE if chat else EXAMPLE)
    from lapwing.engine.request import GenerationRequest

    asked: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "typical_p": typical_p,
        "repetition_penalty": repetition_penalty,
        "presence_penalty": presence_penalty,
        "frequency_penalty": frequency_penalty,
        "logit_bias": _biases(logit_bias or ()),
        "seed": seed,
        "stop": tuple(stop or ()),
        "ignore_eos": ignore_eos,
        "logprobs": logprobs,
    }
    wishes = {name: value for name, value in asked.items() if value is not None}
    GenerationRequest.of(wishes)  # a mistake is told before a model is loaded
    governing = Governing(
        profile, power, max_temp, max_watts, energy_budget, battery_floor, switch_precision
    ).checked()
    if chat:
        _check_template(model, revision, quiet=quiet)
    with (
        LoadingBar("loading", wanted=not quiet) as bar,
        loaded(
            model,
            dtype,
            threads,
            revision,
            load=load,
            store=not no_store,
            rising=rising,
            governing=governing,
            bar=bar,
            quiet=quiet,
        ) as network,
    ):
        if typed or network.loading is None:
            bar.stop()  # else it goes on until the first piece
        if typed:
            converse(network, system, wishes, quiet=quiet)
            return
        if chat:
            said = [*opening(system), {"role": "user", "content": text}]
            stream, before = network.chat_stream(said, **wishes), ""
        else:
            stream, before = network.stream(text, **wishes), text
        interrupted = drain(stream) if json else print_stream(stream, before, bar)
        bar.stop()
        result = stream.result
        if json:
            print_json(_report(model, network, result))
        elif not quiet:
            say_how_it_went(result, network)
            introduce_battery(network, result)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if result.backend != "reference" and not quiet:
        from lapwing.cli.first_run import introduce_compiled

        introduce_compiled(result.backend, result.isa, result.threads)


def _check_doors(
    *, chat: bool, typed: bool, system: str | None, json: bool, logprobs: int | None
) -> None:
    """Raises RequestError for options that do not go together."""
    if system is not None and not chat:
        raise RequestError("--system is for conversations: add --chat.")
    if typed and json:
        raise RequestError(f"--json prints one answer. Give a message:  {CHAT_EXAMPLE} --json")
    if logprobs is not None and not json:
        raise RequestError("--logprobs are printed with --json: add it.")


def _check_template(model: str, revision: str | None, *, quiet: bool) -> None:
    """Raises RequestError for a model that has none, before its weights are read."""
    from lapwing.engine.opening import find_small_files
    from lapwing.text.chat import ChatTemplate

    ChatTemplate.need(find_small_files(model, revision, progress=not quiet))


def _biases(texts: Sequence[str]) -> dict[int, float]:
    """`["42=-1.5"]` → `{42: -1.5}`."""
    result: dict[int, float] = {}
    for text in texts:
        token, _, number = text.partition("=")
        try:
            result[int(token)] = float(number)
        except ValueError:
            raise RequestError(
                f"--logit-bias: expected a token id and a number, as in 42=-1.5; got {text!r}. "
                "lapwing tokenize shows ids."
            ) from None
    return result


def _report(name: str, model: Model, result: GenerationResult) -> dict[str, Any]:
    from lapwing.backends.machine import peak_resident_bytes, resident_bytes

    memory = {
        "weights_bytes": model.estimate_memory_usage(),
        "resident_bytes": resident_bytes(),
        "peak_resident_bytes": peak_resident_bytes(),
    }
    return {
        "model": name,
        **result.to_dict(),
        "requested_dtype": model.requested_dtype,
        "stored_dtype": model.stored_dtype,
        "load": model.load,
        "memory": memory,
    }
