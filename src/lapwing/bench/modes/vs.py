"""`vs`: Lapwing and other runtimes on the same weights, token ids and threads, taking turns.

Adapters are those of `lapwing.bench.peers`; ids go in and logits or vectors come out on both sides,
so that neither tokenizing nor sampling is timed.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lapwing.bench.configuration import Configuration
from lapwing.bench.measure.client import Worker
from lapwing.bench.measure.worker import Unavailable
from lapwing.bench.peers import peers
from lapwing.bench.peers.base import Facts, Peer, Precision, Quantization, Target, Workload
from lapwing.bench.record import fill_times
from lapwing.bench.rounds import Rounds, Sample, run_rounds
from lapwing.bench.session import Session
from lapwing.bench.subject import random_ids
from lapwing.errors import RequestError

PYTHON = "LAPWING_BENCH_PYTHON"
ROLE = "lapwing.bench.peers.handler"


class PeerFailedError(Exception):
    """While it was being timed: the others go on without it."""

    def __init__(self, contestant: PeerContestant, reason: str) -> None:
        super().__init__(f"{contestant.label}: {reason}")
        self.contestant = contestant


class PeerContestant:
    """A peer at one quantization and setting, ready for one workload."""

    def __init__(self, peer: Peer, quantization: Quantization, setting: str, kind: str) -> None:
        self.peer, self.quantization, self.setting, self.kind = peer, quantization, setting, kind
        self.label = f"{peer.name} {quantization.name} {setting} {kind}"
        self.version: str | None = None
        self.facts: Facts | None = None
        self.load_s: float | None = None
        self.worker: Worker | None = None

    def open(self, session: Session, target: Target, work: Workload, threads: int) -> None:
        """Raises Unavailable with the reason."""
        self.worker = start(session, self.peer, self.label, threads)
        self.version = self.worker.ask("describe")["version"]
        told_target = {k: str(v) if isinstance(v, Path) else v for k, v in vars(target).items()}
        name = self.quantization.name
        self.worker.ask("export", target=told_target, quantization=name)
        told = self.worker.ask(
            "open", target=told_target, quantization=name, setting=self.setting, threads=threads
        )
        self.facts, self.load_s = Facts(**told["facts"]), told["load_s"]
        self.worker.ask("prepare", work=dataclasses.asdict(work))

    def run(self) -> Sample:
        """See rounds.Competitor."""
        assert self.worker is not None
        try:
            return {"seconds": float(self.worker.ask("time")["seconds"])}
        except Unavailable as error:
            raise PeerFailedError(self, str(error)) from None

    def turn(self, at_least_s: float) -> list[Sample]:
        """One sample: a short run is repeated inside it."""
        return [self.run()]

    def close(self) -> None:
        """Ends its process."""
        if self.worker is not None:
            self.worker.close()


def start(session: Session, peer: Peer, label: str, threads: int) -> Worker:
    """A process of the interpreter that the peer is in."""
    python = session.request.python or os.environ.get(PYTHON)
    if peer.name == "lapwing" or python is None:
        python = sys.executable
    log = session.request.work / "logs" / re.sub(r"[^\w.-]+", "-", f"{label}.log")
    return Worker((ROLE, type(peer).__module__), log, python=python, threads=threads)


def _is_here(session: Session, peer: Peer) -> bool:
    worker = start(session, peer, peer.name, 1)
    try:
        worker.ask("describe")
    except Unavailable as error:
        session.results.skipped.append(f"{peer.name}: {error}")
        return False
    finally:
        worker.close()
    return True


def run(session: Session) -> None:
    """Every workload with everyone who can run it."""
    names, target = chosen(session.request.peers), target_of(session)
    present = [name for name in names if _is_here(session, peers()[name])]
    if not present and session.request.peers:
        session.watcher.say("none of the peers is here")
    for configuration in session.request.configurations:
        for work in workloads(session, configuration):
            _measure(session, present, target, configuration, work)
            if session.results.interrupted:
                return


def chosen(names: tuple[str, ...]) -> tuple[str, ...]:
    """Raises RequestError for one that there is no adapter of."""
    known = [name for name in peers() if name != "lapwing"]
    if not names or names == ("installed",):
        return tuple(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RequestError(f"vs: expected some of {', '.join(known)}; got {unknown[0]!r}")
    return names


def target_of(session: Session) -> Target:
    """The checkpoint that everyone reads. Raises RequestError where peers could not."""
    from lapwing.bench.export.checkpoint import Checkpoint

    facts = next(iter(session.facts.values()))
    directory = Path(facts["directory"])
    family = facts["model_type"]
    if family not in Peer.families:
        raise RequestError(
            f"vs: peers are given {', '.join(Peer.families)} models; this is {family}"
        )
    if not (directory / "model.safetensors").is_file():
        raise RequestError(
            f"vs: peers' files are made from one model.safetensors; {directory} has none"
        )
    exports = session.request.work / "exports" / directory.name
    weights = Checkpoint(directory).weights
    return Target(directory.name, family, directory, exports, weights)


def workloads(session: Session, c: Configuration) -> Iterator[Workload]:
    """Prompt and decoding of a language model; texts of an encoder."""
    V = next(iter(session.facts.values()))["vocab_size"]
    prompts = tuple(tuple(random_ids(V, c.n_prompt, seed)) for seed in range(c.batch))
    at_least_s = session.request.rules.turn_s
    if session.is_encoder:
        yield Workload("embed", "embed", prompts, at_least_s=at_least_s)
        return
    ids = random_ids(V, c.n_gen * c.batch, 1000)
    steps = tuple(tuple(ids[i : i + c.batch]) for i in range(0, len(ids), c.batch))
    yield Workload("prefill", "prefill", prompts[:1], at_least_s=at_least_s)
    yield Workload("decode", "decode", prompts, steps, at_least_s=at_least_s)


def _measure(
    session: Session,
    names: Sequence[str],
    target: Target,
    configuration: Configuration,
    work: Workload,
) -> None:
    facts = session.facts[configuration.dtype]
    threads = facts["prefill_threads" if work.kind == "prefill" else "threads"]
    precision: Precision = facts["dtype"]
    with ExitStack() as stack:
        ready: list[PeerContestant] = []
        for one in candidates(names, target, precision, work, threads):
            stack.callback(one.close)
            try:
                one.open(session, target, work, threads)
                ready.append(one)
            except Unavailable as error:
                skipped = f"{one.label}: {error}"
                if skipped not in session.results.skipped:
                    session.results.skipped.append(skipped)
        rounds = _rounds(session, ready)
    for one in ready:
        _record(session, configuration, work, one, rounds, threads)
    session.results.interrupted |= rounds.interrupted


def _rounds(session: Session, ready: list[PeerContestant]) -> Rounds:
    """Of all; whoever fails on the way leaves, and the others begin anew."""
    while True:
        try:
            return run_rounds(ready, session.request.rules, on_progress=session.watcher.work)
        except PeerFailedError as failed:
            session.results.skipped.append(str(failed))
            ready.remove(failed.contestant)


def candidates(
    names: Sequence[str], target: Target, precision: Precision, work: Workload, threads: int
) -> Iterator[PeerContestant]:
    """Lapwing at its dtype, and everyone's formats that stand beside it."""
    for name, peer in peers().items():
        if name not in ("lapwing", *names) or work.kind not in peer.kinds:
            continue
        for quantization in peer.quantizations(target.family):
            if quantization.precision == precision:
                for setting in peer.settings(target.family, threads):
                    yield PeerContestant(peer, quantization, setting, work.kind)


def _record(
    session: Session,
    configuration: Configuration,
    work: Workload,
    one: PeerContestant,
    rounds: Rounds,
    threads: int,
) -> None:
    record = session.record(configuration)
    assert one.facts is not None
    own = one.peer.name == "lapwing"
    record.runtime = one.peer.name
    record.n_prompt = 0 if work.kind == "decode" else len(work.prompts[0])
    record.n_gen = len(work.steps)
    record.n_depth = len(work.prompts[0]) if work.kind == "decode" else 0
    record.n_threads = record.n_prefill_threads = threads
    record.input = "random ids, seed 0"
    if not own:
        record.build_version, record.build_commit = one.version, None
        record.backends = record.isa = record.stored_dtype = record.model_size = None
        record.requested_dtype = one.quantization.name
    record.bits_per_weight = one.facts.bits_per_weight
    record.bytes_per_token = one.facts.bytes_per_token
    fill_times(record, rounds.measured[one.label])
    _rates(record.n_batch, work, record)
    record.load_ms = {"warm": None if one.load_s is None else 1e3 * one.load_s, "cold": None}
    record.stable = rounds.unstable is None
    if rounds.unstable is not None:
        record.reasons["stable"] = rounds.unstable
    record.reasons["ttft_ms"] = "ids go in and logits come out: no text is made"
    record.extra |= {"workload": work.kind, "setting": one.setting, "note": one.facts.note,
                     "quantization": one.quantization.name}  # fmt: skip


def _rates(batch: int, work: Workload, record: Any) -> None:
    seconds: Mapping[str, float] | None = record.seconds
    if seconds is None:
        return
    if work.kind == "embed":
        record.texts_per_s = batch / seconds["median"]
    elif work.kind == "prefill":
        record.prefill_tps = record.n_prompt / seconds["median"]
    else:
        record.decode_tps = batch * record.n_gen / seconds["median"]
