"""Decode and prefill while other processes keep cores busy, and what an idle process uses.

Of a machine with C cores, `threads` of ours and N busy ones are owed C / (threads + N) of a core
each, at most a whole one: that share of the undisturbed speed is fair.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measure.rows import Row
from benchmarks.models import Model
from benchmarks.session import Session, say
from benchmarks.suites.tokens import random_ids, steps
from lapwing.bench.peers.base import Workload

MODELS = ("gpt2-124m", "qwen2.5-0.5b", "tales")
BUSY = (0, 1, 2)
TOKENS, PROMPT = 32, 128
IDLE_S = 4.0
SAMPLE_S = 2.0  # many turns of the scheduler: who has just woken is served first
SPIN = "while True: pass"


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many others that do nothing but use a core."""
    with contextlib.ExitStack() as stack:
        for _ in range(processes):
            child = subprocess.Popen([sys.executable, "-c", SPIN])
            stack.callback(child.wait)
            stack.callback(child.kill)
        yield


def fair_share(cores: int, threads: int, processes: int) -> float:
    """Of undisturbed speed."""
    undisturbed = min(1.0, cores / threads)
    return min(1.0, cores / (threads + processes)) / undisturbed


def workloads(model: Model, processes: int) -> Iterator[Workload]:
    """The decode suite's own, and the prefill suite's shorter one."""
    prompt = random_ids(model, 16)
    yield Workload(f"{processes} busy", "decode", (prompt,), steps(model, TOKENS, 1),
                   at_least_s=SAMPLE_S)  # fmt: skip
    prompt = random_ids(model, PROMPT)
    yield Workload(f"prefill {PROMPT}, {processes} busy", "prefill", (prompt,),
                   at_least_s=SAMPLE_S)  # fmt: skip


def run(session: Session) -> None:
    cores, threads = os.cpu_count() or 1, session.options.threads
    for model in session.models(MODELS):
        with session.competitors(model, ("generate",)) as competitors:
            alone: dict[tuple[str, str, str, str], Row] = {}
            turns = [(count, work) for count in BUSY for work in workloads(model, count)]
            for processes, work in turns:
                around = busy(processes) if processes else None
                for row in session.measure(model, work, competitors, around=around):
                    who = row.runtime, row.quantization, row.setting
                    first = alone.setdefault((work.kind, *who), row)
                    share = first.median_s / row.median_s / fair_share(cores, threads, processes)
                    row.extra["share_of_fair"] = share
                    row.quality = f"as in the {work.kind} suite"
                    say(f"{row.workload}: {' '.join(who)}: {share:.0%} of its fair share")
            for each in competitors:
                idle = each.worker.idle_share(IDLE_S) if each.worker.alive else None
                for row in session.results.rows:
                    who = row.model, row.runtime, row.quantization, row.setting
                    if who == (model.name, each.peer.name, each.quantization, each.setting):
                        row.extra["idle_cpu_share"] = idle
                if idle is not None:
                    say(f"idle: {each.label}: {idle:.1%} of a core")
