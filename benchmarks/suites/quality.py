"""How far a competitor's answers are from float32's, on models that were trained."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure.rows import Skip
from benchmarks.models import Model
from benchmarks.peers.base import Unavailable
from benchmarks.session import Competitor, Session
from benchmarks.suites.tokens import random_ids, windows

Logits = NDArray[np.float32]


def log_softmax(logits: Logits) -> NDArray[np.float64]:
    """Over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def mean_kl(want: Logits, got: Logits) -> float:
    """KL(want ‖ got) in nats a token."""
    p, q = log_softmax(want), log_softmax(got)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def finite(model: Model, competitor: Competitor) -> str:
    """What is known of the outputs. Raises ValueError for infinities and NaN."""
    try:
        told = competitor.worker.ask("finite", ids=list(random_ids(model, 16)))
    except Unavailable as error:
        return f"outputs not looked at ({error})"
    if not told["finite"]:
        raise ValueError(f"{competitor.label} gives numbers that are not finite on {model.name}")
    return "outputs finite"


def judge(session: Session, model: Model, competitors: Sequence[Competitor]) -> None:
    """Puts the KL to Lapwing's float32 beside every competitor, or why there is none."""
    if not model.real:
        for each in competitors:
            each.quality = {"quality": f"random weights: no quality to lose; {finite(model, each)}"}
        return
    count = 4 if session.options.quick else 16
    text = windows(model, count, min(256, model.context))
    if isinstance(text, Skip):
        for each in competitors:
            each.quality = {"quality": text.reason}
        return
    told = f"KL to float32 over {count * len(text[0])} tokens of tales.valid.txt"
    want = None
    first = [e for e in competitors if (e.peer.name, e.quantization) == ("lapwing", "f32")]
    for each in [*first, *competitors]:
        try:
            got = _logits(each, text)
        except Unavailable as error:
            each.quality = {"quality": str(error)}
            continue
        want = got if want is None and first else want
        if want is None:
            each.quality = {"quality": "Lapwing's float32 is not part of this run"}
        else:
            each.quality = {"kl_nats": mean_kl(want, got), "quality": told}


def _logits(competitor: Competitor, text: list[list[int]]) -> Logits:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "logits.npy"
        competitor.worker.ask("logits", windows=text, path=str(path))
        return np.load(path)
