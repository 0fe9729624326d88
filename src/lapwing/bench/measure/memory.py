"""What a process holds and uses, as the system counts it. None where it does not tell."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """Bytes. pss: shared pages divided among those who share them; private: this one's alone."""

    rss_bytes: int | None
    pss_bytes: int | None
    private_bytes: int | None


def memory(pid: int, proc: Path = Path("/proc")) -> Memory:
    """Of a process, whether it runs or is stopped."""
    found: dict[str, int] = {}
    try:
        for line in (proc / str(pid) / "smaps_rollup").read_text().splitlines():
            key, _, rest = line.partition(":")
            if rest.endswith("kB"):
                found[key] = int(rest.split()[0]) * 1024
    except OSError:
        return Memory(None, None, None)
    private = [found[key] for key in ("Private_Clean", "Private_Dirty") if key in found]
    return Memory(found.get("Rss"), found.get("Pss"), sum(private) if private else None)


def cpu_seconds(pid: int, proc: Path = Path("/proc")) -> float | None:
    """Processor time so far, of all threads of a process and of its children that have ended."""
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
