"""What was said about this machine once, so that it is not measured and said again."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lapwing
from lapwing.advise.slowdown import Measurements
from lapwing.backends import machine
from lapwing.weights.cache_folder import cache_folder

FILE = "first-runs.json"
FIRST_RUN_BUDGET_S = 0.25


def key(backend: str, isa: str, available: Sequence[str]) -> str:
    """What a measurement is remembered by: where any of it changes, it is measured anew."""
    cpu = machine.cpu_name() or "unknown cpu"
    return " | ".join((lapwing.__version__, f"{backend} of {'+'.join(available)}", isa, cpu))


def recall(name: str) -> Measurements | None:
    """What `remember` was given; None for whatever reason there is nothing to read."""
    path = _path()
    values = _read(path).get(name) if path else None
    if not isinstance(values, dict) or values.keys() != Measurements.__dataclass_fields__.keys():
        return None
    if not all(value is None or isinstance(value, (int, float)) for value in values.values()):
        return None
    return Measurements(**values)


def measure_and_remember(
    name: str, threads: int, isa: str, *, bandwidth: bool
) -> Measurements | None:
    """Measures if it can be remembered, about a second; None where the cache takes no files."""
    path = _path()
    if path is None or not _store(path, _read(path)):
        return None
    from lapwing.advise.probe import measure

    measured = measure(threads, isa, bandwidth=bandwidth, budget_s=FIRST_RUN_BUDGET_S)
    _store(path, {**_read(path), name: asdict(measured)})
    return measured


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
