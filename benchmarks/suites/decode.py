"""Tokens one after the other: at the start, at a depth, in batches, and the guide's own run."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.models import CAUSAL, Model
from benchmarks.session import Session
from benchmarks.suites.quality import judge
from benchmarks.suites.tokens import ONCE_UPON_A_TIME, random_ids, steps
from lapwing.bench.peers.base import Workload

PROMPT = 16
TOKENS = 32
BATCHES = (4, 8, 16)
DEPTHS = (2048, 8192)
DEEP_MODELS = ("qwen2.5-0.5b",)
# Filling 8192 positions takes a minute each: at depths only what is paired in the plan's bars.
DEEP_PRECISIONS = ("int4", "int8")
GUIDE_TOKENS = 50


def workloads(model: Model, quick: bool) -> Iterator[Workload]:
    """Of every competitor."""
    tokens = 8 if quick and model.target.weights > 3e8 else TOKENS
    prompt = random_ids(model, PROMPT)
    yield Workload("decode", "decode", (prompt,), steps(model, tokens, 1))
    if model.name == "gpt2-124m":
        yield Workload("guide", "generate", (ONCE_UPON_A_TIME,), n_tokens=GUIDE_TOKENS)
    for B in BATCHES[:1] if quick else BATCHES:
        prompts = tuple(random_ids(model, PROMPT, seed) for seed in range(B))
        yield Workload(f"batch {B}", "decode", prompts, steps(model, tokens // 2, B))


def deep_workloads(model: Model, quick: bool) -> Iterator[Workload]:
    """Behind long prompts, which are computed once and kept."""
    if model.name not in DEEP_MODELS or quick:
        return
    for depth in DEPTHS:
        prompt = random_ids(model, depth)
        yield Workload(f"depth {depth}", "decode", (prompt,), steps(model, TOKENS // 2, 1))


def run(session: Session) -> None:
    for model in session.models(CAUSAL):
        with session.competitors(model, ("decode", "generate")) as competitors:
            judge(session, model, competitors)
            for work in workloads(model, session.options.quick):
                session.measure(model, work, competitors)
            deep = [each for each in competitors if each.precision in DEEP_PRECISIONS]
            for work in deep_workloads(model, session.options.quick):
                session.measure(model, work, deep)
