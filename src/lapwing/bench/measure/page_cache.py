"""Which part of a file the system's memory holds, and how it is made to let go of it."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np


def forget(path: Path) -> None:
    """Asks the page cache to drop a file; pages that somebody has mapped stay."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def cached_fraction(path: Path) -> float | None:
    """0 to 1; None where the system does not tell."""
    library = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    if library is None or not hasattr(library, "mincore"):
        return None
    size = path.stat().st_size
    if not size:
        return 0.0
    pages = -(-size // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * pages)()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = np.frombuffer(mapped, np.uint8)
        failed = library.mincore(ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(size), found)
        del view  # the mapping cannot be closed while it is looked at
    if failed:
        return None
    return float((np.frombuffer(bytes(found), np.uint8) & 1).sum()) / pages
