"""Encoders: how far vectors are from the reference's, and what is left of a published score."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lapwing.bench.quality import reference
from lapwing.bench.quality.distance import Doubles, Floats, cosine_of_rows, spearman
from lapwing.bench.quality.estimate import Estimate, mean_of, of_blocks
from lapwing.bench.quality.measure import Progress, out_of_time
from lapwing.bench.quality.opened import Opened
from lapwing.bench.quality.pairs import Pair
from lapwing.bench.quality.reference import Facts, digest_of
from lapwing.bench.quality.request import Request, tokenizer_digest
from lapwing.bench.quality.result import EvalResult, Quality, Stopped
from lapwing.errors import RequestError

TEXTS_OF_A_BLOCK = 64  # even, so that a pair is never torn
Embedder = Callable[[Sequence[str]], Floats]  # texts → vectors of unit length [n, D]


@dataclass(frozen=True)
class Embedded:
    """Vectors of the first texts, as many as were done, by everyone the same ones."""

    reference: Floats
    candidates: list[Floats]
    blocks: int
    stopped: Stopped
    took_s: float


def embed_all(
    texts: Sequence[str],
    truth: Embedder | Floats,
    candidates: Sequence[Embedder],
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Embedded:
    """Block by block, all of them on each: see measure.measure. truth: vectors, if kept."""
    count = len(texts) if callable(truth) else min(len(texts), len(truth))
    total, done = -(-count // TEXTS_OF_A_BLOCK), 0
    own: list[Floats] = []
    found: list[list[Floats]] = [[] for _ in candidates]
    began_s = clock()
    stopped: Stopped = "text"
    try:
        for at in range(total):
            if out_of_time(clock() - began_s, at, seconds):
                stopped = "time"
                break
            span = slice(at * TEXTS_OF_A_BLOCK, min((at + 1) * TEXTS_OF_A_BLOCK, count))
            part = texts[span]
            own.append(truth(part) if callable(truth) else truth[span])
            for parts, embed in zip(found, candidates, strict=True):
                parts.append(embed(part))
            done = at + 1
            if progress is not None:
                progress(done, total)
    except KeyboardInterrupt:
        if not done:
            raise
        stopped = "interrupted"
    joined = [np.concatenate(parts[:done]) for parts in found]
    return Embedded(np.concatenate(own[:done]), joined, done, stopped, clock() - began_s)


def quality(
    name: str,
    dtype: str,
    vectors: Floats,
    truth: Floats | None,
    pairs: Sequence[Pair],
    **known: Any,
) -> Quality:
    """truth: None where these vectors are the reference's own."""
    missing: dict[str, str] = {}
    mean, least = None, None
    if truth is None:
        missing = dict.fromkeys(("cosine_mean", "cosine_min"), "it is the reference")
    else:
        cosines = cosine_of_rows(truth, vectors)
        mean = mean_of([cosines[at : at + 1] for at in range(len(cosines))])
        least = float(cosines.min())
    score, why = spearman_of(vectors, pairs)
    if why is not None:
        missing["spearman"] = why
    return Quality(
        name,
        dtype,
        cosine_mean=mean,
        cosine_min=least,
        spearman=score,
        not_measured=missing,
        **known,
    )


def spearman_of(vectors: Floats, pairs: Sequence[Pair]) -> tuple[Estimate | None, str | None]:
    """vectors: of the first and second text of each pair in turn, of the first pairs at least."""
    whole = min(len(pairs), len(vectors) // 2)
    if not pairs:
        return None, "no labelled pairs were given (--pairs)"
    if whole < 2:
        return None, "fewer than two pairs"
    alike = cosine_of_rows(vectors[0 : 2 * whole : 2], vectors[1 : 2 * whole : 2])
    scores = np.array([pair.score for pair in pairs[:whole]])
    rows = np.stack([alike, scores], axis=1)

    def correlation(values: Doubles) -> float:
        return spearman(values[:, 0], values[:, 1])

    if not math.isfinite(correlation(rows)):
        return None, "all cosines, or all scores, are the same: there are no ranks"
    return of_blocks([rows[at : at + 1] for at in range(whole)], correlation), None


def texts_of(pairs: Sequence[Pair]) -> list[str]:
    """First and second in turn."""
    return [text for pair in pairs for text in (pair.first, pair.second)]


def run(request: Request, progress: Progress | None) -> EvalResult:
    """See evaluate.evaluate."""
    for name in ("tokens", "window", "stride"):
        if getattr(request.cut, name) is not None:
            raise RequestError(f"{name}: an encoder reads whole texts; seconds bound how many")
    text, pairs, candidates = request.text, request.pairs, request.candidates
    texts = texts_of(pairs)
    if text is not None:
        texts += [line for line in text.content.splitlines() if line.strip()]
    if not texts:
        raise RequestError("text: there is no line in it that is not blank")
    name = text.name if text is not None else "labelled pairs"
    first = candidates[0]
    facts = Facts(
        kind="encoder",
        model=first.title,
        dtype=first.dtype,
        fingerprint=first.model.fingerprint,
        tokenizer=tokenizer_digest(first.model),
        text=digest_of("\n".join(texts)),
        text_name=name,
        width=first.model.embedding_size,
    )
    held: Facts | None = None
    known: Embedder | Floats
    truth = request.truth
    if isinstance(truth, Path):
        held, known = reference.read_vectors(truth)
        reference.require_same(truth, held, facts, other_checkpoint=request.other_checkpoint)
    else:
        if truth.model.embedding_size != facts.width:
            raise RequestError(
                f"{truth.title} has vectors of {truth.model.embedding_size} numbers and "
                f"{first.title} of {facts.width}; they cannot be compared"
            )
        known = _embedder(truth)
    others = request.others
    found = embed_all(
        texts,
        known,
        [_embedder(each) for each in others],
        seconds=request.cut.seconds,
        progress=progress,
    )
    if request.save is not None:
        own = request.model
        told = replace(
            facts,
            model=own.title,
            dtype=own.dtype,
            fingerprint=own.model.fingerprint,
            texts=len(found.reference),
        )
        reference.write(request.save, told, {"vectors": found.reference})
    rows = [
        quality(
            held.model if held else request.model.title,
            held.dtype if held else request.model.dtype,
            found.reference,
            None,
            pairs,
            held_bytes=None if held else request.model.held_bytes,
        )
    ]
    rows += [
        quality(
            each.title,
            each.dtype,
            vectors,
            found.reference,
            pairs,
            held_bytes=each.held_bytes,
        )
        for each, vectors in zip(others, found.candidates, strict=True)
    ]
    return EvalResult(
        kind="encoder",
        reference=request.label(held),
        text=name,
        rows=tuple(rows),
        stopped=found.stopped,
        scored=len(found.reference),
        blocks=found.blocks,
        took_s=found.took_s,
        pairs=min(len(pairs), len(found.reference) // 2) if pairs else None,
    )


def _embedder(opened: Opened) -> Embedder:
    def embed(texts: Sequence[str]) -> Floats:
        return opened.model.embed(list(texts), dtype=opened.precision)

    return embed
