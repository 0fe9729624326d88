"""`load`: from nothing to the first token, with the model's files in memory and without.

A start is a fresh process: its interpreter, the libraries, the model, and the first token (or
vector). load_ms is of the model alone; TTFT of its first request. Cold: before each start the
system lets go of the model's files, and is asked whether it has.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lapwing.bench.configuration import Configuration
from lapwing.bench.contestant import Contestant
from lapwing.bench.measure.page_cache import cached_fraction, forget
from lapwing.bench.measure.stats import Summary
from lapwing.bench.session import Session

STILL_CACHED = 0.05  # of the bytes: more than that is not cold
PARTS = ("process_s", "libraries_s", "load_s", "first_s")
Start = Mapping[str, float]


def run(session: Session) -> None:
    """Warm and cold starts of every configuration take turns."""
    request = session.request
    files = {c: mapped_files(session, c) for c in request.configurations}
    cold_reason = _why_not_cold([path for paths in files.values() for path in paths])
    kinds = ("warm",) if cold_reason else ("warm", "cold")
    starts: dict[tuple[Configuration, str], list[Start]] = {
        (c, kind): [] for c in request.configurations for kind in kinds
    }
    rng = np.random.default_rng(request.rules.seed)
    entries, total = list(starts), len(starts) * request.rules.min_runs
    began_s, done = time.monotonic(), 0
    try:
        for _ in range(request.rules.min_runs):
            for at in rng.permutation(len(entries)):
                configuration, kind = entries[at]
                for path in files[configuration]:
                    if kind == "cold":
                        forget(path)
                    else:
                        path.read_bytes()  # a cold start may have been before it
                starts[entries[at]].append(start(session, configuration))
                done += 1
                spent_s = time.monotonic() - began_s
                session.watcher.work(spent_s, spent_s * total / done)
    except KeyboardInterrupt:
        session.results.interrupted = True
    for c in request.configurations:
        _record(session, c, {kind: starts[c, kind] for kind in kinds}, cold_reason)


def start(session: Session, configuration: Configuration) -> Start:
    """One process, from nothing to the first token."""
    one = Contestant(session.request, configuration)
    began_s = time.perf_counter()
    one.start()
    try:
        process_s = time.perf_counter() - began_s
        began_s = time.perf_counter()
        one.ask("import")
        libraries_s = time.perf_counter() - began_s
        one.open()
        assert one.load_s is not None
        one.prepare()
        first = one.run()
        return {
            "process_s": process_s,
            "libraries_s": libraries_s,
            "load_s": one.load_s,
            "first_s": first.get("ttft_s") or first["seconds"],
        }
    finally:
        one.close()


def mapped_files(session: Session, configuration: Configuration) -> list[Path]:
    """What a process that runs the model has mapped of its weights."""
    with Contestant(session.request, configuration) as one:
        one.run()
        if not Path("/proc/self/maps").exists():
            return []
        return [Path(name) for name in one.ask("files")["files"] if _is_weights(Path(name))]


def _is_weights(path: Path) -> bool:
    return path.suffix == ".safetensors" or "lapwing" in path.name or path.suffix == ".planes"


def _why_not_cold(files: Sequence[Path]) -> str | None:
    """None where the system lets go of them."""
    if not files:
        return "the model's files are not mapped, or this system does not tell which are"
    for path in files:
        forget(path)
        left = cached_fraction(path)
        if left is None:
            return "this system does not tell which pages of a file are in memory"
        if left > STILL_CACHED:
            return f"the system kept {left:.0%} of {path.name} in memory when asked to let it go"
    return None


def _record(
    session: Session,
    configuration: Configuration,
    starts: Mapping[str, list[Start]],
    cold_reason: str | None,
) -> None:
    record = session.record(configuration)
    parts: dict[str, Any] = {}
    for kind, found in starts.items():
        if found:
            parts[kind] = {
                part: dataclasses.asdict(Summary.of([one[part] for one in found])) for part in PARTS
            }
    record.extra["starts"] = parts
    record.load_ms = {
        kind: 1e3 * parts[kind]["load_s"]["median"] if kind in parts else None
        for kind in ("warm", "cold")
    }
    if cold_reason is not None:
        record.reasons["load_ms.cold"] = cold_reason
    warm = starts["warm"]
    if warm:
        totals = Summary.of([sum(one[part] for part in PARTS) for one in warm])
        record.seconds = dataclasses.asdict(totals)
        record.samples_ns = [round(1e9 * sum(one[part] for part in PARTS)) for one in warm]
        record.avg_ns = round(1e9 * totals.mean)
        firsts = Summary.of([1e3 * one["first_s"] for one in warm])
        record.ttft_ms = dataclasses.asdict(firsts)
