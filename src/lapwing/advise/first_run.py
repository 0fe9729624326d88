"""What was said about this machine once, so that it is not measured and said again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lapwing
from lapwing.advise.doctor import cache_folder, compiler_advice
from lapwing.advise.probe import Measurements, Slowdown, judge, measure
from lapwing.backends import machine
from lapwing.units import format_rate

FILE = "first-runs.json"
FIRST_RUN_BUDGET_S = 0.25


def key(backend: str, isa: str) -> str:
    """What a measurement is remembered by: a new version or another processor measures anew."""
    return " | ".join((lapwing.__version__, backend, isa, machine.cpu_name() or "unknown cpu"))


def recall(name: str) -> Measurements | None:
    """What `remember` was given; None for whatever reason there is nothing to read."""
    path = _path()
    try:
        return Measurements(**_read(path)[name]) if path else None
    except (KeyError, TypeError):
        return None


def measure_and_remember(
    name: str, threads: int, isa: str, *, bandwidth: bool
) -> Measurements | None:
    """Measures if it can be remembered, about a second; None where the cache takes no files."""
    path = _path()
    if path is None or not _store(path, _read(path)):
        return None
    measured = measure(threads, isa, bandwidth=bandwidth, budget_s=FIRST_RUN_BUDGET_S)
    _store(path, {**_read(path), name: asdict(measured)})
    return measured


def describe_reference(measured: Measurements | None, *, compiled_core: bool) -> str:
    """The reference backend is in use: how much that costs, and what to do about it."""
    slowdown = judge(measured) if measured else Slowdown(None, None, None)
    if compiled_core:
        cost = _times(slowdown.of_compiled)
        advice = "Unset LAPWING_BACKEND to use the compiled core."
    else:
        cost, advice = "how much slower than the compiled core cannot be measured here", ""
        if measured and slowdown.of_memory:
            cost += (
                f", but it decodes {format_rate(measured.reference_tps)} of tales, "
                f"{_number(slowdown.of_memory)}× below what this memory could feed (measured)"
            )
        import platform

        advice = compiler_advice(platform.platform())
    return f"NumPy reference backend in use: {cost}. {advice}"


def describe_compiled(measured: Measurements | None) -> str:
    """What the compiled core saves, in half a sentence; empty if it was not measured."""
    slowdown = judge(measured).of_compiled if measured else None
    return f"the NumPy reference would be {_times(slowdown)}" if slowdown else ""


def _times(slowdown: float | None) -> str:
    if slowdown is None:
        return "many times slower (lapwing doctor measures it)"
    return f"{_number(slowdown)}× slower here (measured)"


def _number(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def _path() -> Path | None:
    folder = cache_folder()
    return folder / FILE if folder else None


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _store(path: Path, value: dict[str, Any]) -> bool:
    """False where the cache takes no files."""
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError:
        return False
    return True
