"""Where and with what a run was made. None stands with its reason."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from lapwing.power.sensors import supply_sensors
from lapwing.power.sensors.deadline import BoundedTree
from lapwing.power.sensors.tree import Disk

TREE = Path(__file__).resolve().parents[4]  # of the sources, unless this is an installed copy


def context(sys_root: Path = Path("/sys"), proc: Path = Path("/proc")) -> dict[str, Any]:
    """Facts about this machine now."""
    cpu = _cpu(proc)
    governor = _read(sys_root / "devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": cpu.get("model name"),
        "cpu_flags": cpu.get("flags"),
        "cpu_mhz": cpu.get("cpu MHz"),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "system": platform.system(),
        "memory_bytes": _memory(proc),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "governor": governor,
        "governor_reason": None if governor else "this machine shows no cpufreq",
        "turbo_off": _read(sys_root / "devices/system/cpu/intel_pstate/no_turbo"),
        "power": _power(sys_root),
        "huge_pages": _read(sys_root / "kernel/mm/transparent_hugepage/enabled"),
        "python": platform.python_version(),
        "revision": _git("rev-parse", "--short=12", "HEAD"),
        "modified": bool(
            _git("status", "--porcelain", "--untracked-files=no", "--", "src", "native")
        ),
    }


def _cpu(proc: Path) -> dict[str, str]:
    """Of the first processor."""
    try:
        first = (proc / "cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _memory(proc: Path) -> int | None:
    try:
        line = (proc / "meminfo").read_text().splitlines()[0]
    except OSError:
        return None
    return int(line.split()[1]) * 1024


def _power(sys_root: Path) -> dict[str, Any]:
    """Mains and battery, or why nothing is known of them."""
    found = supply_sensors.find(BoundedTree(Disk(sys_root)))
    now = {sensor.quantity: sensor.read() for sensor in found.readings}
    if "plugged" not in now:
        return {"on_ac": None, "reason": found.missing[0].reason}
    told: dict[str, Any] = {"on_ac": now["plugged"].value}
    if told["on_ac"] is None:
        told["reason"] = now["plugged"].reason
    if "status" in now:
        told["battery"] = {key: now[key].value for key in ("status", "charge")}
    return told


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _git(*arguments: str) -> str | None:
    if not (TREE / "native").is_dir():
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=TREE, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
