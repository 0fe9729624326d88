"""What Lapwing found on this machine, and why it is as fast as it is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import lapwing
from lapwing import backends
from lapwing.advise.probe import measure
from lapwing.advise.sensing import SensorReport, look, verdict_on_sensors
from lapwing.advise.slowdown import (
    Measurements,
    Slowdown,
    compiler_advice,
    format_ratio,
    judge,
)
from lapwing.backends import machine, topology
from lapwing.engine.threads import Measured, create_backend, known
from lapwing.weights.cache_folder import cache_folder

PACKAGES = ("numpy", "tokenizers", "huggingface_hub", "typer", "rich")
OPTIONAL_PACKAGES = ("torch", "transformers", "safetensors")
DOCTOR_BUDGET_S = 1.5


@dataclass(frozen=True)
class Facts:
    """Read from the system. None: it does not tell, or there is none."""

    version: str
    python: str
    platform: str
    cpu: str | None
    cpus_usable: int
    cores_physical: int
    memory_bytes: int | None
    backends: tuple[str, ...]
    backend: str
    isas: tuple[str, ...]
    isa: str
    threads: int
    prefill_threads: int
    threads_measured: Measured | None  # what `auto` goes by
    cache_folder: Path | None
    hub_cache_folder: Path
    packages: dict[str, str | None]
    optional_packages: dict[str, str | None]


@dataclass(frozen=True)
class Diagnosis:
    """Facts, measurements, what follows from them, and what to do (None: nothing).

    verdict: all of it in one line.
    """

    facts: Facts
    sensors: SensorReport
    measured: Measurements
    reference_slowdown: Slowdown
    advice: str | None
    verdict: str


def diagnose(root: str | os.PathLike[str] | None = None) -> Diagnosis:
    """Looks and measures; takes a few seconds. Raises BackendError as `load` would.

    root: where sensors are read, as `discover` takes it; it raises what that raises.
    """
    sensors, facts = look(root), collect()
    isa = facts.isa if facts.backend == "cpu" else "auto"
    measured = measure(facts.threads, isa, budget_s=DOCTOR_BUDGET_S)
    slowdown = judge(measured)
    return Diagnosis(
        facts, sensors, measured, slowdown, advise(facts), verdict(facts, slowdown, sensors)
    )


def collect() -> Facts:
    """The facts alone, at once."""
    from huggingface_hub import constants

    backend, here = create_backend(may_measure=False), topology.read()
    return Facts(
        version=lapwing.__version__,
        python=f"{platform.python_version()} ({sys.executable})",
        platform=platform.platform(),
        cpu=machine.cpu_name(),
        cpus_usable=here.usable,
        cores_physical=here.physical,
        memory_bytes=machine.total_memory_bytes(),
        backends=backends.available(),
        backend=backend.name,
        isas=backends.available_isas(),
        isa=backend.isa,
        threads=backend.threads,
        prefill_threads=backend.prefill_threads,
        threads_measured=known(backend.isa, here) if backend.name == "cpu" else None,
        cache_folder=cache_folder(),
        hub_cache_folder=Path(constants.HF_HUB_CACHE),
        packages={name: _version(name) for name in PACKAGES},
        optional_packages={name: _version(name) for name in OPTIONAL_PACKAGES},
    )


def advise(facts: Facts) -> str | None:
    """What would make this machine faster."""
    if "cpu" not in facts.backends:
        return compiler_advice(facts.platform)
    if facts.backend == "reference":
        return "LAPWING_BACKEND asks for the reference; unset it to use the compiled core."
    if facts.isa != facts.isas[0]:
        return f"LAPWING_ISA asks for {facts.isa}; unset it to use {facts.isas[0]}."
    return None


def verdict(facts: Facts, slowdown: Slowdown, sensors: SensorReport) -> str:
    """`Good: compiled core (avx2), 31× the reference; cannot measure energy or temperature.`"""
    if facts.backend != "cpu":
        speed = "Slow: the NumPy reference computes"
    else:
        ratio = slowdown.of_compiled
        speed = (
            f"{'Good' if advise(facts) is None else 'Not its best'}: compiled core ({facts.isa})"
        )
        speed += "" if ratio is None else f", {format_ratio(ratio)} the reference"
    return f"{speed}; {verdict_on_sensors(sensors)}."


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
