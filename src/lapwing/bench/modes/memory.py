"""`memory`: what a fresh process holds through start, load, prefill and decode."""

from __future__ import annotations

import dataclasses
from typing import Any

from lapwing.bench.configuration import Configuration
from lapwing.bench.contestant import DECODE, LIBRARIES, LOADING, PHASES, PREFILL, watch_memory
from lapwing.bench.measure.sampler import Sampled
from lapwing.bench.record import Record
from lapwing.bench.session import Session

AT_WORK = (LOADING, PREFILL, DECODE)


def run(session: Session) -> None:
    """One process a configuration."""
    for number, c in enumerate(session.request.configurations):
        add_memory(session, session.record(c), c)
        session.watcher.work(number + 1.0, float(len(session.request.configurations)))


def add_memory(session: Session, record: Record, configuration: Configuration) -> Sampled:
    """Fills what the row says of memory."""
    seen, told = watch_memory(session.request, configuration)
    record.kv_bytes = told["kv_bytes"]
    before = seen.get(LIBRARIES, "rss")
    if seen.reason is not None or before is None:
        record.reasons["peak_rss"] = seen.reason or "no sample was taken"
        return seen
    record.peak_rss = seen.peak("rss", *AT_WORK)
    record.peak_pss = seen.peak("pss", *AT_WORK)
    record.peak_anon = seen.peak("anon", *AT_WORK)
    record.peak_file = seen.peak("file", *AT_WORK)
    record.peak_swap = seen.peak("swap", *AT_WORK)
    working = [a for phase in (PREFILL, DECODE) if (a := seen.get(phase, "rss")) is not None]
    samples = sum(a.samples for a in working)
    record.avg_rss = round(sum(a.mean * a.samples for a in working) / samples)
    if record.peak_rss is not None:
        record.grown_bytes = record.peak_rss - before.last
    record.extra["memory_phases"] = phases_of(seen)
    return seen


def phases_of(seen: Sampled) -> dict[str, Any]:
    """Bytes by phase and kind, as plain values."""
    return {
        phase: {kind: dataclasses.asdict(amount) for kind, amount in seen.phases[phase].items()}
        for phase in PHASES
        if phase in seen.phases
    }
