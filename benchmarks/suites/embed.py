"""Sentences to vectors: one query, many of mixed lengths, and BERT-base at given shapes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.models import ENCODERS, SHARED, Model
from benchmarks.session import Session
from benchmarks.suites.quality import Pairs, judge_vectors
from benchmarks.suites.tokens import random_ids
from lapwing.bench.peers.base import Unavailable, Workload

QUERY = "where do lapwings build their nests ?"  # 10 tokens of MiniLM, special ones included
SENTENCES = 256
LENGTHS = (5, 256)  # of 64 random texts


def pairs(model: Model) -> Pairs:
    """STS16: texts in the model's tokens, and how alike people found each two. Unavailable."""
    files = sorted((SHARED / "sts").glob("sts16.*.tsv"))
    if not files:
        raise Unavailable("sts16.*.tsv are not at hand (they are no part of this project)")
    lines = [line.split("\t") for path in files for line in path.read_text("utf-8").splitlines()]
    lines = [line for line in lines if line[0]]  # many pairs were never judged
    texts = [text for line in lines for text in line[1:3]]
    return Pairs(tokens(model, texts), [float(line[0]) for line in lines])


def tokens(model: Model, texts: list[str]) -> list[tuple[int, ...]]:
    """Special ones included, cut where the model is."""
    from lapwing.text.tokenizer import Tokenizer

    encoded = Tokenizer.open(model.target.directory).encode_texts(texts, min(256, model.context))
    return [tuple(text.ids) for text in encoded]


def workloads(model: Model, sentences: list[tuple[int, ...]]) -> Iterator[Workload]:
    """Real texts for a real model; for a random one, random ids at the shapes of the plan."""
    if model.real:
        yield Workload("query of 10 tokens", "embed", tuple(tokens(model, [QUERY])))
        if sentences:
            total = sum(map(len, sentences))
            name = f"{len(sentences)} sentences, {total} tokens"
            yield Workload(name, "embed", tuple(sentences))
        return
    for B in (1, 8):
        prompts = tuple(random_ids(model, 128, seed) for seed in range(B))
        yield Workload(f"{B} × 128", "embed", prompts)
    lengths = np.random.default_rng(0).integers(LENGTHS[0], LENGTHS[1] + 1, 64)
    prompts = tuple(random_ids(model, int(length), seed) for seed, length in enumerate(lengths))
    yield Workload(f"64 × {LENGTHS[0]}–{LENGTHS[1]}", "embed", prompts)


def run(session: Session) -> None:
    for model in session.models(ENCODERS):
        known = None
        if model.real:
            try:
                known = pairs(model)
            except Unavailable as error:
                session.skip("text", str(error), model=model.name)
        every = max(1, len(known.texts) // SENTENCES) if known else 1
        sentences = known.texts[::every][:SENTENCES] if known else []
        with session.competitors(model, ("embed",)) as competitors:
            judge_vectors(session, model, competitors, known)
            for work in workloads(model, sentences):
                session.measure(model, work, competitors)
