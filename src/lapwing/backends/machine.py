"""Facts about this machine, read from the system. Decides nothing beyond a thread count."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def usable_cpus() -> int:
    """CPUs this process may use: affinity mask, then the cgroup's quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _cgroup_cpu_quota()
    return max(1, min(count, quota)) if quota else count


def physical_cores() -> int:
    """Cores behind `usable_cpus`: threads of one core share its arithmetic."""
    cpus = usable_cpus()
    if not hasattr(os, "sched_getaffinity"):
        return cpus
    siblings = set()
    for cpu in os.sched_getaffinity(0):
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            siblings.add(topology.read_text().strip())
        except OSError:
            return cpus
    return max(1, min(cpus, len(siblings)))


def _cgroup_cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Whole CPUs that cgroup v2 (cpu.max) or v1 (cfs quota) grants, rounded up."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None  # "max", or −1: no limit
    return -(-int(quota) // int(period))


def cpu_name() -> str | None:
    """Model name of the processor, or None where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return None


def total_memory_bytes() -> int | None:
    """Memory of the machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def resident_bytes() -> int | None:
    """Resident set of this process now, mapped files included."""
    return _status_bytes("VmRSS")


def trim_heap() -> None:
    """What freed objects have left with the C library goes back to the system (glibc keeps it)."""
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def anonymous_bytes() -> int | None:
    """Of them, those that no file has: this process's own."""
    return _status_bytes("RssAnon")


def peak_resident_bytes() -> int | None:
    """Largest resident set of this process so far."""
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
        import sys
    except ImportError:
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


def _status_bytes(key: str) -> int | None:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
