"""Facts about this machine, read from the system. Decides nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def cpu_name() -> str | None:
    """Model name of the processor, or None where the system does not tell."""
    with suppress(OSError), Path("/proc/cpuinfo").open() as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
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
