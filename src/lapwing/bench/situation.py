"""The machine as it is when something is measured, and what must be equal to compare."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lapwing
from lapwing.backends import topology
from lapwing.bench.measure.context import context
from lapwing.power.sensors import Sensors

MOST_HASHED_BYTES = 1 << 30
# What two rows must have in common; paths into the context.
COMPARED = (
    "cpu", "cpu_flags", "cpus_usable", "memory_bytes", "cgroup_memory_bytes", "system", "governor",
    "turbo_off", "power_source", "platform profile", "energy preference",
)  # fmt: skip
# And of the rows themselves.
COMPARED_OF_ROWS = (
    "mode", "dtype", "n_prompt", "n_gen", "n_depth", "n_batch", "n_threads", "n_prefill_threads",
    "isa", "model_n_params", "model_sha256", "input",
)  # fmt: skip


def situation(sensors: Sensors) -> dict[str, Any]:
    """Facts about this machine now; None stands where it does not tell."""
    here = topology.read()
    readings = sensors.read(
        ("profile", "plugged", "charge", "status", "temperature", "pressure", "frequency")
    )
    told = {name: reading.value for name, reading in readings.items()}
    found = context()
    return {
        **found,
        **{name: None for name in COMPARED if name not in found},
        **told,
        "lapwing": lapwing.__version__,
        "cpus_usable": here.usable,
        "affinity": topology.format_cpus(here.cpus),
        "cgroup_cpus": here.quota,
        "cgroup_memory_bytes": _cgroup_memory(),
        "memory_available_bytes": _available(),
        "power_source": _power_source(sensors),
        "hash_seed": os.environ.get("PYTHONHASHSEED"),
    }


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """What keeps two rows from being compared: `'governor: powersave and performance'`."""
    found = []
    for key in COMPARED_OF_ROWS:
        if a.get(key) != b.get(key):
            found.append(f"{key}: {a.get(key)} and {b.get(key)}")
    here, there = a.get("context", {}), b.get("context", {})
    for key in COMPARED:
        if here.get(key) != there.get(key):
            found.append(f"{key}: {_short(here.get(key))} and {_short(there.get(key))}")
    return found


def model_sha256(directory: str | Path) -> tuple[str | None, str | None]:
    """(Of the weights' files in the order of their names, None), or (None, why not)."""
    path = Path(directory)
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    total = sum(file.stat().st_size for file in files)
    if not files:
        return None, "no file of weights there"
    if total > MOST_HASHED_BYTES:
        return None, f"{total / 1e9:.1f} GB of weights are not read for it"
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as data:
            while piece := data.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest(), None


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _power_source(sensors: Sensors) -> str | None:
    """`mains` or `battery`."""
    plugged = sensors.first("plugged")
    value = None if plugged is None else plugged.read().value
    return None if value is None else "mains" if value else "battery"


def _cgroup_memory(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() and int(text) < 1 << 60 else None
    return None


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(found[0].split()[1]) if found else None
