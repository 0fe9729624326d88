"""Which backend is at work, and what the reference costs: once, or loudly each time."""

from __future__ import annotations

from lapwing import backends
from lapwing.advise import first_run
from lapwing.backends.base import Backend
from lapwing.cli.terminal import counted, say


def warn_of_reference(backend: Backend) -> None:
    """Every time the reference is in use; measures the first time."""
    name = first_run.key(backend.name, backend.isa)
    compiled_core = "cpu" in backends.available()
    measured = first_run.recall(name) or first_run.measure_and_remember(
        name, backend.threads, "auto", bandwidth=not compiled_core
    )
    say(first_run.describe_reference(measured, compiled_core=compiled_core), "warning")


def introduce_compiled(backend: Backend) -> None:
    """Once per version, backend, instruction set and processor."""
    name = first_run.key(backend.name, backend.isa)
    if first_run.recall(name):
        return
    measured = first_run.measure_and_remember(name, backend.threads, backend.isa, bandwidth=False)
    told = first_run.describe_compiled(measured)
    say(
        f"first run: {backend.name} backend, {backend.isa}, {counted(backend.threads, 'thread')}"
        + (f"; {told}" if told else ""),
        "note",
    )
