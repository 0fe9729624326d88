"""`quality`: what each precision loses to float32, on one text.

Measuring it is `lapwing.bench.quality`'s, which `lapwing eval` opens to users.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from lapwing.bench.quality.evaluate import evaluate
from lapwing.bench.quality.opened import dtype_name
from lapwing.bench.quality.result import Quality
from lapwing.bench.record import Record
from lapwing.bench.session import Session
from lapwing.bench.text import DEFAULT_TEXT
from lapwing.errors import LapwingError

BUILT_IN = "the built-in text of 500 words; --text FILE reads another"
ESTIMATES = ("kl_nats", "kl_p99_nats", "top1_agreement", "perplexity", "perplexity_ratio",
             "cosine_mean")  # fmt: skip
QUICK_TOKENS = 64
REFERENCE = "f32"


def run(session: Session) -> None:
    """One row a configuration."""
    for c in session.request.configurations:
        session.record(c)
    add_quality(session, session.results.records)


def add_quality(session: Session, records: Sequence[Record]) -> None:
    """Fills `quality` of each row, or says why it is null."""
    session.watcher.say("quality")
    asked = [dtype_name(record.requested_dtype) for record in records]  # a plan's file is one
    found = judge(session, list(dict.fromkeys(asked)))
    for record, dtype in zip(records, asked, strict=True):
        one = found[dtype]
        if isinstance(one, str):
            record.quality, record.reasons["quality"] = None, one
        else:
            record.quality = one


def judge(session: Session, dtypes: Sequence[str]) -> dict[str, dict[str, Any] | str]:
    """By dtype: figures, or the reason why there are none."""
    request = session.request
    few = request.quick and not session.is_encoder  # an encoder reads whole texts
    try:
        result = evaluate(
            request.model,
            list(dtypes),
            text=DEFAULT_TEXT if request.text is None else request.text,
            tokens=QUICK_TOKENS if few else None,
            revision=request.revision,
        )
    except LapwingError as error:
        return dict.fromkeys(dtypes, str(error))
    source = BUILT_IN if request.text is None else request.text_source
    told = {"text": source, "scored": result.scored}
    return {
        dtype: {**plain(result.row(dtype)), **told, "reference": dtype == REFERENCE}
        for dtype in dtypes
    }


def plain(row: Quality) -> dict[str, Any]:
    """Estimates as value, low and high; what was not measured with its reason."""
    told: dict[str, Any] = {}
    for name in ESTIMATES:
        estimate = getattr(row, name)
        told[name] = None if estimate is None else dataclasses.asdict(estimate)
    told["cosine_min"] = row.cosine_min
    told["not_measured"] = dict(row.not_measured)
    return told
