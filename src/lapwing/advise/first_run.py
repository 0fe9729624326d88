"""What was said about this machine once, so that it is not measured and said again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import lapwing
from lapwing.advise.slowdown import Measurements
from lapwing.backends import machine
from lapwing.weights import notes

FILE = "first-runs.json"
FIRST_RUN_BUDGET_S = 0.25


def key(backend: str, isa: str, available: Sequence[str]) -> str:
    """What a measurement is remembered by: where any of it changes, it is measured anew."""
    cpu = machine.cpu_name() or "unknown cpu"
    return " | ".join((lapwing.__version__, f"{backend} of {'+'.join(available)}", isa, cpu))


def recall(name: str) -> Measurements | None:
    """What `remember` was given; None for whatever reason there is nothing to read."""
    values = notes.recall(FILE).get(name)
    if not isinstance(values, dict) or values.keys() != Measurements.__dataclass_fields__.keys():
        return None
    if not all(value is None or isinstance(value, (int, float)) for value in values.values()):
        return None
    return Measurements(**values)


def measure_and_remember(
    name: str, threads: int, isa: str, *, bandwidth: bool
) -> Measurements | None:
    """Measures if it can be remembered, about a second; None where the cache takes no files."""
    if not notes.remember(FILE, {}):
        return None
    from lapwing.advise.probe import measure

    measured = measure(threads, isa, bandwidth=bandwidth, budget_s=FIRST_RUN_BUDGET_S)
    notes.remember(FILE, {name: asdict(measured)})
    return measured
