"""What is measured: one file a suite."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from benchmarks.session import Session

NAMES = ("decode", "prefill", "embed", "load", "contention")


def suite(name: str) -> Callable[[Session], None]:
    """Measures everything of that name."""
    return importlib.import_module(f"benchmarks.suites.{name}").run
