"""Which matrices to read as int4 and which as int8, by what each costs on one's own text.

Each group of matrices that one operation reads is lowered to int4 alone, all else being int8, and
the loss to the float32 reference measured: of a causal model mean KL in nats, of an encoder
1 − cosine. What it adds to int8's own loss is the group's cost. Groups are then lowered in the
order of cost per byte saved; predicted is int8's loss plus the costs, as if they added up; the
whole choice is measured, too, and both are told.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lapwing.bench.quality.measure import Progress
from lapwing.bench.quality.opened import Models, Name, title_of
from lapwing.bench.quality.request import Text, read_text
from lapwing.bench.quality.sensitivity import (
    Group,
    Search,
    by_layer,
    cosine_to_f32,
    groups_of,
    kl_to_f32,
)
from lapwing.errors import DoesNotFitError, RequestError
from lapwing.units import format_bytes
from lapwing.weights.plan import Plan

DEFAULT_TOKENS = 4096
DEFAULT_SECONDS = 45.0


@dataclass(frozen=True)
class Choice:
    """A plan, and what is known of it. loss: mean KL in nats, or 1 − cosine of an encoder.

    held_bytes: all weights, as a load with this plan holds them. scored: positions, or texts.
    """

    plan: Plan
    loss: str
    groups: tuple[Group, ...]
    held_bytes: int
    int8_bytes: int
    int8_loss: float
    predicted_loss: float
    measured_loss: float
    text: str
    scored: int
    took_s: float


def choose_plan(
    model: Name,
    *,
    text: str | os.PathLike[str],
    target_bytes: int | None = None,
    max_kl: float | None = None,
    tokens: int = DEFAULT_TOKENS,
    seconds: float | None = DEFAULT_SECONDS,
    on_progress: Progress | None = None,
    **loading: Any,
) -> Choice:
    """The plan with least loss in so many bytes of weights, or least bytes within a mean KL.

    text: as of `evaluate`; its first tokens are read in windows of 256, as many as can be measured
    once a group in so many seconds, one at least. Where even that takes longer, a layer is one
    group. on_progress: measurements done, and in all.

    Raises DoesNotFitError where int4 alone is larger than target_bytes, RequestError where int8
    alone loses more than max_kl, and what `load` raises.
    """
    if (target_bytes is None) == (max_kl is None):
        raise RequestError("expected either target_bytes or max_kl")
    began_s = time.monotonic()
    if isinstance(text, str):
        source = Text(text, "the given text")
    else:
        source = Text(read_text(Path(text)), Path(text).name)
    with Models(**loading) as models:
        both = models.open(model, "int8")
        if both.kind == "encoder" and max_kl is not None:
            raise RequestError("max_kl: an encoder has no distribution of tokens; give a size")
        groups, int8_bytes = groups_of(both.model), both.held_bytes or 0
        smallest = int8_bytes - sum(each.saved_bytes for each in groups)
        if target_bytes is not None and smallest > target_bytes:
            raise DoesNotFitError(
                f"target size: {title_of(model)} holds {format_bytes(smallest)} of weights as int4 "
                f"throughout, more than {format_bytes(target_bytes)}"
            )
        if both.kind == "encoder":
            lossy = cosine_to_f32(model, both, source, seconds, len(groups), **loading)
        else:
            lossy = kl_to_f32(model, both, source, tokens, seconds, len(groups), **loading)
        search = Search(lossy, by_layer(groups) if lossy.slow else groups, on_progress)
        if target_bytes is not None:
            chosen = search.within_bytes(int8_bytes - target_bytes)
        else:
            chosen = search.within_loss(max_kl or 0.0)
        predicted, measured = search.predicted(chosen), search.loss_of(chosen)
    told = tuple(replace(each, int4=each in chosen) for each in search.groups)
    held = int8_bytes - sum(each.saved_bytes for each in chosen)
    facts = {
        "model": title_of(model),
        "text": source.name,
        "loss": lossy.what,
        "int8": search.int8,
        "predicted": predicted,
        "measured": measured,
        "held_bytes": held,
    }
    return Choice(
        Plan(frozenset(name for each in chosen for name in each.matrices), facts),
        lossy.what,
        told,
        held,
        int8_bytes,
        search.int8,
        predicted,
        measured,
        source.name,
        lossy.scored,
        time.monotonic() - began_s,
    )
