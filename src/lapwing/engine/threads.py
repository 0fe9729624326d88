"""How many threads are best here: measured once, and kept for each machine and power source.

Decode waits for memory and prefill computes, so each has a number of its own. Results do not depend
on either.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lapwing import backends
from lapwing.backends import machine, topology
from lapwing.backends.base import Backend
from lapwing.backends.topology import Topology
from lapwing.power.sensors.deadline import BoundedTree
from lapwing.power.sensors.load import OtherLoad
from lapwing.power.sensors.supply import power_source
from lapwing.power.sensors.tree import open_tree
from lapwing.quant import scheme
from lapwing.weights import notes

FILE = "threads.json"
TOLERANCE = 1.03  # so much slower than the best is as good, with fewer threads
KNEE = 1.10  # … where joules count: decode waits for memory, and more threads wait at full power
BUSY = 0.15  # of all CPUs, used by other processes: then fewer threads look better than they are
BUSY_TRIES = 4  # on a machine that always is, what was measured last holds
BUDGET_S = 0.35  # of turns; slow kernels take the one turn that all have, about a second
N, K = 4096, 1024  # of a matrix like those of a small model: 4.4 MiB of planes
DECODE_BYTES = 64 << 20  # beyond the caches of a laptop
PREFILL_TOKENS = 64

log = logging.getLogger("lapwing.engine")
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Measured:
    """Seconds of the fastest pass, by its number of threads."""

    decode_s: Mapping[int, float]
    prefill_s: Mapping[int, float]

    @property
    def threads(self) -> int:
        """For passes of a few tokens."""
        return fewest(self.decode_s)

    @property
    def prefill_threads(self) -> int:
        """For passes of more."""
        return fewest(self.prefill_s)

    def __str__(self) -> str:
        """`decode 1: 5.2 ms, 2: 2.9 ms; prefill 1: 6.4 ms, 2: 3.3 ms`."""

        def listed(best_s: Mapping[int, float]) -> str:
            return ", ".join(f"{n}: {1e3 * s:.3g} ms" for n, s in sorted(best_s.items()))

        return f"decode {listed(self.decode_s)}; prefill {listed(self.prefill_s)}"


Measure = Callable[[str, Sequence[int]], Measured]


def fewest(best_s: Mapping[int, float], tolerance: float = TOLERANCE) -> int:
    """The least number of threads that is as good as the best."""
    limit_s = tolerance * min(best_s.values())
    return min(n for n, s in best_s.items() if s <= limit_s)


def create_backend(threads: int | str = "auto", *, may_measure: bool = True) -> Backend:
    """`backends.create`, and on the compiled core as many threads as are best here.

    threads: a number; auto: LAPWING_THREADS, else what is kept of this machine, else measured (half
    a second, once); measure: measured anew.
    """
    wanted = os.environ.get("LAPWING_THREADS", "auto") if threads == "auto" else threads
    backend = backends.create(threads=wanted)
    if wanted in ("auto", "measure") and backend.name == "cpu":
        here = topology.read()
        if may_measure:
            best = chosen(backend.isa, here, anew=wanted == "measure")
        else:
            best = known(backend.isa, here)
        if best is not None:
            backend.threads, backend.prefill_threads = best.threads, best.prefill_threads
    return backend


def chosen(
    isa: str,
    here: Topology,
    *,
    anew: bool = False,
    measure: Measure | None = None,
    others: Callable[[], float | None] | None = None,
) -> Measured | None:
    """What is kept of this machine, else measured and kept.

    None where there is nothing to choose, or the cache takes no files: every start would measure
    again; or where other processes were busy meanwhile, by `others`: the next start measures again,
    at most BUSY_TRIES times. anew: measured in any case, and kept if it can be.
    """
    if len(here.candidates) == 1:
        return None
    with _one_at_a_time:
        kept = None if anew else known(isa, here)
        if kept is not None:
            return kept
        if not anew and not notes.remember(FILE, {}):
            return None
        others = others or OtherLoad(BoundedTree(open_tree())).read
        others()
        best = (measure or measure_passes)(isa, here.candidates)
        busy = others() or 0.0
        name = key(isa, here)
        tries = _tries(notes.recall(FILE).get(name)) + 1
        if busy >= BUSY and not anew and tries < BUSY_TRIES:
            notes.remember(FILE, {name: {"busy": tries}})
            log.info("threads: others used %.0f %% of the CPUs while they were measured (%s); "
                     "not kept", 100 * busy, best)  # fmt: skip
            return None
        notes.remember(FILE, {name: asdict(best)})
    log.info(
        "threads: %d in decode, %d in prefill, measured (%s)",
        best.threads,
        best.prefill_threads,
        best,
    )
    return best


def _tries(note: Any) -> int:
    tries = note.get("busy") if isinstance(note, dict) else 0
    return tries if isinstance(tries, int) and 0 < tries < BUSY_TRIES else 0


def known(isa: str, here: Topology) -> Measured | None:
    """What is kept of this machine as it is now."""
    note: Any = notes.recall(FILE).get(key(isa, here))
    try:
        decode_s, prefill_s = (
            {int(n): float(s) for n, s in note[name].items()} for name in ("decode_s", "prefill_s")
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None
    for best_s in (decode_s, prefill_s):
        if set(best_s) != set(here.candidates) or not all(0 < s < 1e9 for s in best_s.values()):
            return None
    return Measured(decode_s, prefill_s)


def knee_threads(backend: Backend) -> int | None:
    """Those of decode beyond which more gain little; None where that was never measured."""
    if backend.name != "cpu":
        return None
    best = known(backend.isa, topology.read())
    return None if best is None else fewest(best.decode_s, KNEE)


def key(isa: str, here: Topology) -> str:
    """What a measurement is kept by: where any of it changes, it is measured anew."""
    return " | ".join(
        (
            machine.cpu_name() or "unknown processor",
            f"CPUs {topology.format_cpus(here.cpus)}",
            f"quota {here.quota or 'none'}",
            isa,
            backends.core_build(),
            f"power {power_source(BoundedTree(open_tree())) or 'unknown'}",
        )
    )


def measure_passes(
    isa: str,
    candidates: Sequence[int],
    *,
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Times passes over planes of no meaning: one token over many matrices, many over one.

    Candidates take turns, so that whatever else the machine does meets them all. Every one has a
    turn, however long it takes.
    """
    trial = backends.create("cpu", max(candidates), isa)
    R = scheme.row_group_count(N)
    matrices = [
        trial.kept_planes(
            scheme.PlaneArrays(
                N,
                K,
                np.full((R, scheme.base_stride(K)), 0x55, np.uint8),
                np.full((R, scheme.refine_stride(K)), 0x55, np.uint8),
                np.full((R, 2), 1e-4, np.float32),
            )
        )
        for _ in range(-(-DECODE_BYTES // scheme.plane_bytes(N, K, refine=True)))
    ]
    token, tokens = np.ones((1, K), np.float32), np.ones((PREFILL_TOKENS, K), np.float32)

    def decode() -> None:
        for matrix in matrices:
            trial.linear(token, matrix, precision="int8")

    def prefill() -> None:
        trial.linear(tokens, matrices[0], precision="int8")

    passes = (decode, prefill)
    best_s = [dict.fromkeys(candidates, float("inf")) for _ in passes]
    began_s, rounds = clock(), 0
    while rounds == 0 or clock() - began_s < budget_s:
        for threads in candidates:
            trial.threads = threads
            for run, mine_s in zip(passes, best_s, strict=True):
                start_s = clock()
                run()
                mine_s[threads] = min(mine_s[threads], clock() - start_s)
        rounds += 1
    return Measured(*best_s)
