"""Prompts of 128 and 512 tokens, from nothing to the logits of the last."""

from __future__ import annotations

from benchmarks.models import CAUSAL
from benchmarks.session import Session
from benchmarks.suites.quality import judge
from benchmarks.suites.tokens import random_ids
from lapwing.bench.peers.base import Workload

LENGTHS = (128, 512)


def run(session: Session) -> None:
    for model in session.models(CAUSAL):
        with session.competitors(model, ("prefill",)) as competitors:
            judge(session, model, competitors)
            for length in LENGTHS[:1] if session.options.quick else LENGTHS:
                if length <= model.context:
                    prompt = random_ids(model, length)
                    session.measure(
                        model, Workload(f"prefill {length}", "prefill", (prompt,)), competitors
                    )
