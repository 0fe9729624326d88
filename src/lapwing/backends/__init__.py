"""Devices: the same few fused operations on each. `create` picks one and says which."""

from __future__ import annotations

import importlib.util
import operator
import os
from pathlib import Path

from lapwing.backends.base import Backend
from lapwing.errors import BackendError, RequestError

NAMES = ("cpu", "reference")


def available() -> tuple[str, ...]:
    """Backends that can run here, best first."""
    return NAMES if importlib.util.find_spec("lapwing._native") else ("reference",)


def available_isas() -> tuple[str, ...]:
    """Instruction sets of the compiled core that run here, best first; empty without it."""
    if "cpu" not in available():
        return ()
    from lapwing import _native

    return tuple(_native.available_isas())


def core_build() -> str:
    """Which build of the compiled core this is, told by its file; empty without it."""
    spec = importlib.util.find_spec("lapwing._native")
    if spec is None or spec.origin is None:
        return ""
    facts = Path(spec.origin).stat()
    return f"core {facts.st_size:x}-{facts.st_mtime_ns:x}"


def core_flags() -> str:
    """What the compiled core was built with, as far as it tells."""
    if "cpu" not in available():
        return "no compiled core"
    from lapwing import _native

    flags = getattr(_native, "build_flags", None)
    return "not told by this version" if flags is None else str(flags)


def create(name: str = "auto", threads: int | str = "auto", isa: str = "auto") -> Backend:
    """A backend.

    `auto` takes the environment's LAPWING_BACKEND, LAPWING_THREADS and LAPWING_ISA where they are
    set, else the best there is: the compiled core, one thread a physical core (P-cores alone, where
    there are two kinds). Nothing is measured here: `measure` is auto.
    """
    from lapwing.backends import topology

    name = os.environ.get("LAPWING_BACKEND", "auto") if name == "auto" else name
    isa = os.environ.get("LAPWING_ISA", "auto") if isa == "auto" else isa
    threads = os.environ.get("LAPWING_THREADS", "auto") if threads == "auto" else threads
    count = topology.read().default if threads in ("auto", "measure") else _parse_threads(threads)
    if name not in (*NAMES, "auto"):
        raise BackendError(f"backend: expected one of auto, {', '.join(NAMES)}; got {name!r}")
    here = available()
    if name == "auto":
        name = here[0]
    if name not in here:
        raise BackendError(
            f"backend {name!r} is not available here: lapwing was installed without its compiled "
            "core. Install a C++20 compiler and reinstall, or use LAPWING_BACKEND=reference."
        )
    if name == "reference":
        from lapwing.backends.reference import ReferenceBackend

        return ReferenceBackend(count)
    from lapwing.backends.cpu import CpuBackend

    try:
        return CpuBackend(count, isa)
    except ValueError as error:
        raise BackendError(f"LAPWING_ISA: {error}") from None


def _parse_threads(threads: int | str) -> int:
    try:
        count = int(threads) if isinstance(threads, str) else operator.index(threads)
    except (TypeError, ValueError):
        count = 0
    if isinstance(threads, bool) or not 1 <= count <= 1024:
        raise RequestError(
            f"threads: expected auto, measure or a number from 1 to 1024; got {threads!r}"
        )
    return count
