"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A directory, a bundled model (tales), a hub id (org/name, org/name@revision), or the "
        "file of a store.",
        show_default=False,
    ),
]
HubName = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@REV]", help="A hub id: org/name, org/name@revision.", show_default=False
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="DTYPE",
        help="auto (int8), f32, f16, bf16, int8, int4, or a plan (.json) of 'lapwing eval'.",
    ),
]
Threads = Annotated[
    str,
    typer.Option(
        "-t",
        "--threads",
        metavar="N",
        help="A number; auto: the best here, measured once; measure: anew.",
    ),
]
NoStore = Annotated[
    bool,
    typer.Option(
        "--no-store", help="Convert weights into memory; make no store of them, and use none."
    ),
]
Load = Annotated[
    str,
    typer.Option(
        "--load",
        metavar="MODE",
        help="How weights come: mapped, lazy, progressive, eager, or auto: what is fastest now.",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="REV",
        help="Branch, tag or commit of a hub model.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
Sysfs = Annotated[
    str | None,
    typer.Option(
        "--sysfs",
        metavar="ROOT",
        help="Read sensors below this folder, or from a recording.  [default: LAPWING_SYSFS, or "
        "this machine]",
        show_default=False,
    ),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Print the result and warnings, nothing else.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Of the file: lines, jsonl, csv or tsv.  [default: by its extension, else lines]",
        show_default=False,
    ),
]
Column = Annotated[
    str | None,
    typer.Option(
        "--column",
        metavar="NAME",
        help="Where the text is in JSONL, CSV or TSV.  [default: text, or the only column]",
        show_default=False,
    ),
]

# The governor. None: as LAPWING_PROFILE and Settings have it.
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="MODE",
        help="observe, performance, balanced, quiet, battery, background, or auto: battery's while "
        "on battery.  [default: LAPWING_PROFILE, or observe]",
        show_default=False,
    ),
]
Power = Annotated[
    float,
    typer.Option(
        "--power", metavar="PERCENT", help="Work so much of the time, 1 to 100; pause the rest."
    ),
]
MaxTemp = Annotated[
    float | None,
    typer.Option(
        "--max-temp",
        metavar="°C",
        help="Pause to hold it there.  [default: none]",
        show_default=False,
    ),
]
MaxWatts = Annotated[
    float | None,
    typer.Option(
        "--max-watts", metavar="W", help="Pause to stay below.  [default: none]", show_default=False
    ),
]
EnergyBudget = Annotated[
    float | None,
    typer.Option(
        "--energy-budget",
        metavar="J",
        help="Joules of one answer, where they can be measured: then it ends.  [default: none]",
        show_default=False,
    ),
]
BatteryFloor = Annotated[
    float | None,
    typer.Option(
        "--battery-floor",
        metavar="PERCENT",
        help="Of the charge, below which work is halved.  [default: 15]",
        show_default=False,
    ),
]
SwitchPrecision = Annotated[
    str,
    typer.Option(
        "--switch-precision",
        metavar="WHERE",
        help="Where int8 may become int4 to save the battery: request, token, or never.",
    ),
]

# How an answer is made. None: as GenerationRequest has it.
MaxTokens = Annotated[
    int | None,
    typer.Option(
        "-n",
        "--max-tokens",
        metavar="N",
        help="Stop after so many.  [default: 128, with --chat 1024, or what fits]",
        show_default=False,
    ),
]
Temperature = Annotated[
    float,
    typer.Option(
        "--temp", "--temperature", metavar="T", help="0 always takes the likeliest token."
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        metavar="K",
        help="Draw among the K likeliest tokens.  [default: 0, which is all]",
        show_default=False,
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        metavar="P",
        help="Draw among the fewest tokens that together have probability P.  [default: 1]",
        show_default=False,
    ),
]
MinP = Annotated[
    float | None,
    typer.Option(
        "--min-p",
        metavar="P",
        help="Draw among tokens at least P times as likely as the likeliest.  [default: 0]",
        show_default=False,
    ),
]
TypicalP = Annotated[
    float | None,
    typer.Option(
        "--typical-p",
        metavar="P",
        help="Draw among the most typical tokens that have probability P.  [default: 1]",
        show_default=False,
    ),
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option(
        "--repetition-penalty",
        metavar="F",
        help="Above 1: less of what stands in prompt and answer.  [default: 1]",
        show_default=False,
    ),
]
PresencePenalty = Annotated[
    float | None,
    typer.Option(
        "--presence-penalty",
        metavar="D",
        help="Taken off the logit of a token that the answer has.  [default: 0]",
        show_default=False,
    ),
]
FrequencyPenalty = Annotated[
    float | None,
    typer.Option(
        "--frequency-penalty",
        metavar="D",
        help="Taken off for each time that the answer has a token.  [default: 0]",
        show_default=False,
    ),
]
LogitBias = Annotated[
    list[str] | None,
    typer.Option(
        "--logit-bias",
        metavar="ID=NUMBER",
        help="Added to the logit of a token id; -inf bans it. Repeatable.",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", help="The same seed draws the same text.", show_default=False
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        "--stop", metavar="TEXT", help="Stop before this text. Repeatable.", show_default=False
    ),
]
IgnoreEos = Annotated[
    bool, typer.Option("--ignore-eos", help="Go on where the model would end its text.")
]
Logprobs = Annotated[
    int | None,
    typer.Option(
        "--logprobs",
        metavar="N",
        help="With --json: each token's log-probability, and those of the N likeliest.",
        show_default=False,
    ),
]
