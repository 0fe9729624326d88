"""`latency`, `sweep`, `frontier` and `embed`: configurations that take turns.

Speed, memory and quality are separate passes; the first two in processes of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from lapwing.bench.configuration import Configuration
from lapwing.bench.contestant import Contestant
from lapwing.bench.modes.memory import add_memory
from lapwing.bench.modes.quality import add_quality
from lapwing.bench.record import Record, fill_times
from lapwing.bench.rounds import Rounds, run_rounds
from lapwing.bench.session import Session
from lapwing.errors import RequestError

AT_ONCE = 8  # processes with a model each; more are measured one group after the other
SHARE_OF_MEMORY = 0.5  # of what is free, for the weights of one group


def run(session: Session) -> None:
    """See above."""
    request = session.request
    if request.mode == "embed" and not session.is_encoder:
        raise RequestError("mode embed: the model gives no vectors of texts; try latency")
    if request.mode == "frontier" and session.is_encoder:
        raise RequestError("mode frontier: an encoder has no cache to fill; try embed")
    configurations = request.configurations
    if session.is_encoder and any(c.n_depth for c in configurations):
        raise RequestError("depth: an encoder has no cache to fill")
    for c in configurations:
        room = session.facts[c.dtype]["context_length"]
        if not session.is_encoder and c.n_depth + c.n_prompt + c.n_gen > room:
            raise RequestError(
                f"{c.label}: {c.n_depth + c.n_prompt + c.n_gen} tokens exceed the model's {room} "
                "positions; ask for fewer with -p, -n or -d"
            )
        if c.n_depth and c.batch > 1:
            raise RequestError("depth: one sequence at a time; leave out -b")
    groups = groups_of(session, configurations)
    for number, group in enumerate(groups):
        if _measure(session, group, number / len(groups), 1 / len(groups)):
            return
    if request.mode == "latency":
        if request.memory:
            for record, c in zip(session.results.records, configurations, strict=True):
                session.watcher.say(f"memory: {c.label}")
                add_memory(session, record, c)
        if request.quality:
            add_quality(session, session.results.records)


def groups_of(
    session: Session, configurations: Sequence[Configuration]
) -> list[list[Configuration]]:
    """Those that take turns: as many as there is memory for, in the order they came in."""
    available = session.context.get("memory_available_bytes")
    room = None if available is None else SHARE_OF_MEMORY * available
    groups: list[list[Configuration]] = [[]]
    taken = 0
    for one in configurations:
        held = session.facts[one.dtype]["held_bytes"]
        full = room is not None and taken + held > room
        if groups[-1] and (full or len(groups[-1]) == AT_ONCE):
            groups.append([])
            taken = 0
        groups[-1].append(one)
        taken += held
    return groups


def _measure(session: Session, group: Sequence[Configuration], begun: float, share: float) -> bool:
    """Whether it was interrupted."""
    watcher, number = session.watcher, round(begun / share)

    def progress(done_s: float, total_s: float) -> None:
        if total_s > 0:
            whole_s = total_s / share
            watcher.work(begun * whole_s + done_s, whole_s)

    with session.contestants(group) as contestants:
        rounds = run_rounds(contestants, session.request.rules, on_progress=progress)
    for each in contestants:
        fill_record(session, each, rounds).extra["group"] = number
    session.results.interrupted |= rounds.interrupted
    return rounds.interrupted


def fill_record(session: Session, one: Contestant, rounds: Rounds) -> Record:
    """The row of one contestant."""
    record = session.record(one.configuration, one.facts)
    described = one.described
    record.n_prompt, record.input = described["n_prompt"], described["input"]
    fill_times(record, rounds.measured[one.label])
    record.stable = rounds.unstable is None
    if rounds.unstable is not None:
        record.reasons["stable"] = rounds.unstable
    record.extra["cooled_s"] = rounds.cooled_s
    if one.load_s is not None:
        record.load_ms = {"warm": 1e3 * one.load_s, "cold": None}
        record.reasons["load_ms.cold"] = "mode load measures it"
    if record.extra["kind"] == "encoder" and record.seconds is not None:
        record.texts_per_s = record.n_batch / record.seconds["median"]
    if record.n_depth:
        record.reasons["ttft_ms"] = "at a depth, passes of ids are timed, and no text is made"
    return record
