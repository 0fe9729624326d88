"""Warm starts: a fresh process to the first logits or vector, and the memory it then holds.

Counted are imports, load and first pass together, whichever of them a runtime has its work in; not
the interpreter's own start, which is the same for all.
"""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measure.rows import Row
from benchmarks.models import Model
from benchmarks.session import Session, compare, describe, say
from benchmarks.suites.tokens import random_ids
from lapwing.bench.measure.interleave import interleaved
from lapwing.bench.measure.memory import Memory
from lapwing.bench.measure.stats import Spread
from lapwing.bench.peers.base import Facts, Peer, Precision, Unavailable

MODELS = ("tales", "gpt2-124m", "qwen2.5-0.5b", "llama-3.2-1b", "minilm")
PROMPT = 16


@dataclass
class Starts:
    """Of one peer at one quantization; of its settings the first."""

    peer: Peer
    quantization: str
    precision: Precision
    setting: str
    facts: Facts | None = None
    seconds: dict[str, list[float]] = field(default_factory=dict)
    loaded: Memory | None = None
    used: Memory | None = None


def start(session: Session, model: Model, mine: Starts) -> None:
    """One process, from nothing; its times are added. Raises Unavailable."""
    worker = session.start(mine.peer.name, f" {model.name} {mine.quantization} load")
    try:
        imports_s = worker.ask("import")["seconds"]
        opened = session.open(
            worker, model, mine.peer, mine.quantization, mine.precision, mine.setting
        )
        mine.loaded = worker.memory()
        ids = list(random_ids(model, PROMPT))
        first_s = worker.ask("first", ids=ids)["seconds"]
        mine.used, mine.facts = worker.memory(), opened.facts
        told = {
            "process": worker.startup_s,
            "imports": imports_s,
            "load": opened.load_s,
            "first": first_s,
        }
        for part, value in told.items():
            mine.seconds.setdefault(part, []).append(value)
    finally:
        worker.close()


def row(session: Session, model: Model, mine: Starts) -> Row:
    """Imports, load and first logits; parts and memory beside them."""
    parts = mine.seconds
    counted = (parts["imports"], parts["load"], parts["first"])
    total = [sum(each) for each in zip(*counted, strict=True)]
    spread, used = Spread.of(total), mine.used
    assert mine.facts is not None
    assert used is not None
    assert mine.loaded is not None
    extra: dict[str, Any] = {f"{part}_s": statistics.median(v) for part, v in parts.items()}
    extra["after_load"] = dataclasses.asdict(mine.loaded)
    return Row(
        suite="load",
        model=model.name,
        workload="warm start",
        runtime=mine.peer.name,
        version=session.versions[mine.peer.name]["version"],
        quantization=mine.quantization,
        setting=mine.setting,
        precision=mine.precision,
        threads=session.options.threads,
        unit="start",
        units=1,
        seconds=total,
        median_s=spread.median,
        p5_s=spread.p5,
        p95_s=spread.p95,
        rate=1 / spread.median,
        bits_per_weight=mine.facts.bits_per_weight,
        resident_bytes=used.rss_bytes,
        pss_bytes=used.pss_bytes,
        private_bytes=used.private_bytes,
        quality="speed of loading: not a matter of quality",
        extra=extra,
    )


def run(session: Session) -> None:
    for model in session.models(MODELS):
        starts: dict[tuple[str, str], Starts] = {}
        for choice in session.choices(model, ("load",)):
            starts.setdefault((choice[0].name, choice[1]), Starts(*choice))
        alive = []
        for mine in starts.values():  # one start each brings files into the page cache
            try:
                start(session, model, mine)
                alive.append(mine)
                say(f"starts: {model.name} {mine.peer.name} {mine.quantization}")
            except Unavailable as error:
                session.skip(
                    mine.peer.name, str(error), model=model.name, quantization=mine.quantization
                )
            mine.seconds.clear()
        for _, mine in interleaved(alive, session.options.rounds, session.options.seed):
            start(session, model, mine)
        rows = [row(session, model, mine) for mine in alive]
        compare(rows)
        session.results.rows += rows
        for each in sorted(rows, key=lambda each: each.median_s):
            say(describe(each))
