"""How far a competitor's answers are from float32's, on models that were trained."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure.rows import Skip
from benchmarks.models import Model
from benchmarks.session import Competitor, Session
from benchmarks.suites.tokens import random_ids, windows
from lapwing.bench.peers.base import Unavailable
from lapwing.bench.quality.distance import Floats, cosine_of_rows, mean_kl, spearman

WINDOWS, QUICK_WINDOWS, WINDOW = 16, 4, 256
QUICK_TEXTS = 256  # of the pairs


@dataclass(frozen=True)
class Pairs:
    """Texts, two by two in token ids, and how alike people found them."""

    texts: list[tuple[int, ...]]
    gold: list[float]


def judge(session: Session, model: Model, competitors: Sequence[Competitor]) -> None:
    """Puts the KL to Lapwing's float32 beside every competitor, or why there is none."""
    if not model.real:
        _look_for_infinities(session, model, competitors)
        return
    count = QUICK_WINDOWS if session.options.quick else WINDOWS
    text = windows(model, count, min(WINDOW, model.context))
    if isinstance(text, Skip):
        for each in competitors:
            each.quality = {"quality": text.reason}
        return
    told = f"KL to float32 over {count * len(text[0])} tokens of tales.valid.txt"
    answers = _answers(competitors, "logits", windows=text)
    want = _reference(competitors, answers)
    for each in competitors:
        got = answers.get(each.label)
        if got is not None and want is not None:
            each.quality = {"kl_nats": mean_kl(want, got), "quality": told}


def judge_vectors(
    session: Session, model: Model, competitors: Sequence[Competitor], pairs: Pairs | None
) -> None:
    """Puts the cosine to Lapwing's float32 beside every competitor, and the score on pairs."""
    if not model.real:
        _look_for_infinities(session, model, competitors)
        return
    if pairs is None:
        for each in competitors:
            each.quality = {"quality": "no texts at hand"}
        return
    count = QUICK_TEXTS if session.options.quick else len(pairs.texts)
    answers = _answers(competitors, "embed", sequences=[list(t) for t in pairs.texts[:count]])
    want = _reference(competitors, answers)
    told = f"cosine to float32 and Spearman over {count // 2} pairs of STS16"
    for each in competitors:
        got = answers.get(each.label)
        if got is not None and want is not None:
            alike = cosine_of_rows(got[0::2], got[1::2])
            each.quality = {
                "cosine": float(cosine_of_rows(want, got).mean()),
                "spearman": spearman(alike, np.array(pairs.gold[: count // 2])),
                "quality": told,
            }


def _answers(competitors: Sequence[Competitor], do: str, **arguments: Any) -> dict[str, Floats]:
    """By label; those that give none have the reason in their quality."""
    found = {}
    for each in competitors:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "answer.npy"
            try:
                each.worker.ask(do, path=str(path), **arguments)
                found[each.label] = np.load(path)
            except Unavailable as error:
                each.quality = {"quality": str(error)}
    return found


def _reference(competitors: Sequence[Competitor], answers: dict[str, Floats]) -> Floats | None:
    for each in competitors:
        if (each.peer.name, each.quantization) == ("lapwing", "f32"):
            return answers.get(each.label)
    for each in competitors:
        each.quality.setdefault("quality", "Lapwing's float32 is no part of this run")
    return None


def _look_for_infinities(session: Session, model: Model, competitors: Sequence[Competitor]) -> None:
    """Random weights have no quality; their outputs are still numbers, or are not measured."""
    for each in competitors:
        try:
            told = each.worker.ask("finite", ids=list(random_ids(model, 16)))
        except Unavailable as error:
            each.quality = {"quality": f"random weights; outputs not looked at: {error}"}
            continue
        if told["finite"]:
            each.quality = {"quality": "random weights: no quality to lose; outputs finite"}
        else:
            reason = "its outputs are not finite"
            session.skip(each.peer.name, reason, model=model.name, quantization=each.quantization)
            each.worker.close()
