"""The CPUs this process may use: which share a core, which are fast, how many are granted.

A count of threads is all that follows from it. Where they run is left to the system's scheduler,
which moves busy threads to fast cores that are free: as many threads as there are P-cores run on
P-cores.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

SAME_KIND = 0.8  # cores at least so fast as the fastest, of it, count as P-cores like it
CPUS = "sys/devices/system/cpu"


@dataclass(frozen=True)
class Topology:
    """Cores, each with the logical CPUs of it that may be used; P-cores first."""

    cores: tuple[tuple[int, ...], ...]
    performance: int  # of the cores; all, where they are of one kind
    quota: int | None = None  # CPUs that the cgroup grants, rounded up

    @property
    def cpus(self) -> tuple[int, ...]:
        """Logical CPUs, ascending."""
        return tuple(sorted(cpu for core in self.cores for cpu in core))

    @property
    def usable(self) -> int:
        """Logical CPUs that can be busy at once."""
        return self._granted(len(self.cpus))

    @property
    def physical(self) -> int:
        """Cores that can be: threads of one core share its arithmetic."""
        return self._granted(len(self.cores))

    @property
    def default(self) -> int:
        """Threads where nothing was measured: one a P-core."""
        return self._granted(self.performance)

    @property
    def candidates(self) -> tuple[int, ...]:
        """Numbers of threads worth measuring, ascending."""
        counts = (1, 2, self.performance // 2, self.performance, len(self.cores), len(self.cpus))
        return tuple(sorted({self._granted(max(1, min(n, len(self.cpus)))) for n in counts}))

    def _granted(self, count: int) -> int:
        return min(count, self.quota or count)


def read(root: Path = Path("/"), allowed: Collection[int] | None = None) -> Topology:
    """Of this machine and process; of a copy of its /sys and /proc for another `root`.

    allowed: logical CPUs; by default those of the affinity mask.
    """
    cpus = sorted(_affinity() if allowed is None else allowed)
    siblings: dict[str, list[int]] = {}
    for cpu in cpus:
        core = _text(root / CPUS / f"cpu{cpu}/topology/thread_siblings_list") or f"only {cpu}"
        siblings.setdefault(core, []).append(cpu)
    fast = _fast(root, cpus)
    cores = sorted(map(tuple, siblings.values()), key=lambda core: core[0] not in fast)
    performance = sum(core[0] in fast for core in cores)
    return Topology(tuple(cores), performance, cpu_quota(root))


def _affinity() -> Collection[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _fast(root: Path, cpus: Collection[int]) -> set[int]:
    """Those on P-cores; all where there is one kind, or none tells."""
    performance = _parse_list(_text(root / "sys/devices/cpu_core/cpus"))  # Intel's hybrids
    if performance and _parse_list(_text(root / "sys/devices/cpu_atom/cpus")):
        return performance & set(cpus) or set(cpus)
    for measure in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        speeds = {cpu: _number(_text(root / CPUS / f"cpu{cpu}" / measure)) for cpu in cpus}
        if all(speeds.values()):
            return {cpu for cpu in cpus if speeds[cpu] >= SAME_KIND * max(speeds.values())}
    return set(cpus)


def cpu_quota(root: Path = Path("/")) -> int | None:
    """Whole CPUs that cgroups grant, rounded up: the least of this process's group and those above.

    cgroup v2's cpu.max, else v1's CFS quota; None: no limit, or none that is told.
    """
    grants = []
    for line in (*_text(root / "proc/self/cgroup").splitlines(), "0::/", "0:cpu:/"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        v1 = "cpu" in controllers.split(",")
        if controllers and not v1:
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if v1 else "")
        own = mount / path.lstrip("/")
        for group in (own, *own.parents):
            grants.append(_granted_by(group, v1))
            if group == mount:
                break
    return min((grant for grant in grants if grant), default=None)


def _granted_by(group: Path, v1: bool) -> int | None:
    if v1:
        words = [_text(group / f"cpu.cfs_{word}_us") for word in ("quota", "period")]
    else:
        words = _text(group / "cpu.max").split()
    if len(words) != 2 or not all(_number(word) for word in words):
        return None  # "max", or −1: no limit
    quota, period = map(int, words)
    return -(-quota // period)


def format_cpus(cpus: Collection[int]) -> str:
    """`[0, 1, 2, 5]` → `'0-2,5'`, as the system writes lists of CPUs."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _parse_list(text: str) -> set[int]:
    """`'0-2,5'` → `{0, 1, 2, 5}`; empty for what is no list."""
    cpus: set[int] = set()
    for run in text.split(","):
        first, _, last = run.partition("-")
        if not _number(first) and first != "0":
            return set()
        cpus.update(range(int(first), (_number(last) or int(first)) + 1))
    return cpus


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(text: str) -> int:
    """0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() else 0
