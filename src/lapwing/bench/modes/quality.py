"""`quality`: what each precision loses to float32, on one text.

Measuring it is `lapwing.bench.quality`'s, which `lapwing eval` opens to users.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

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
    dtypes = list(dict.fromkeys(str(record.dtype) for record in records))
    found = judge(session, dtypes)
    for record in records:
        one = found.get(str(record.dtype), "it was not among what was evaluated")
        if isinstance(one, str):
            record.quality, record.reasons["quality"] = None, one
        else:
            record.quality = one


def judge(session: Session, dtypes: Sequence[str]) -> dict[str, dict[str, Any] | str]:
    """By dtype: figures, or the reason why there are none."""
    from lapwing.bench.quality.evaluate import evaluate

    request = session.request
    try:
        result = evaluate(
            request.model,
            list(dtypes),
            text=DEFAULT_TEXT if request.text is None else request.text,
            tokens=QUICK_TOKENS if request.quick else None,
            revision=request.revision,
        )
    except LapwingError as error:
        return dict.fromkeys(dtypes, str(error))
    source = BUILT_IN if request.text is None else request.text_source
    return {row.dtype: {**plain(row), "text": source, "scored": result.scored,
                        "reference": row.dtype == REFERENCE} for row in result.rows}  # fmt: skip


def plain(row: Any) -> dict[str, Any]:
    """Estimates as value, low and high; what was not measured with its reason."""
    told: dict[str, Any] = {}
    for name in ESTIMATES:
        estimate = getattr(row, name, None)
        told[name] = None if estimate is None else dataclasses.asdict(estimate)
    told["cosine_min"] = row.cosine_min
    told["not_measured"] = dict(row.not_measured)
    return told
