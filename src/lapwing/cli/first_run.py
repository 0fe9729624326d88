"""Which backend is at work, and what the reference costs: once, or loudly each time."""

from __future__ import annotations

import platform

from lapwing import backends
from lapwing.advise import first_run
from lapwing.advise.slowdown import describe_reference, format_ratio, judge
from lapwing.backends.base import Backend
from lapwing.cli.terminal import counted, say


def warn_of_reference(backend: Backend) -> None:
    """Every time the reference is in use; measures the first time."""
    name = first_run.key(backend.name, backend.isa, backends.available())
    compiled_core = "cpu" in backends.available()
    measured = first_run.recall(name) or first_run.measure_and_remember(
        name, backend.threads, "auto", bandwidth=not compiled_core
    )
    text = describe_reference(
        measured, compiled_core=compiled_core, platform_name=platform.platform()
    )
    say(text, "warning")


def introduce_compiled(backend: str, isa: str, threads: int) -> None:
    """Once per version, backend, instruction set and processor; measures, then says it.

    Silent where it could not be remembered: what was chosen is in every closing line.
    """
    name = first_run.key(backend, isa, backends.available())
    if first_run.recall(name):
        return
    measured = first_run.measure_and_remember(name, threads, isa, bandwidth=False)
    slowdown = judge(measured).of_compiled if measured else None
    if slowdown:
        say(
            f"first run: {backend} backend, {isa}, {counted(threads, 'thread')}; the NumPy "
            f"reference would be {format_ratio(slowdown)} slower here (measured)",
            "note",
        )
