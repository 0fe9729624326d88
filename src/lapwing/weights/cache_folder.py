"""Where files of our own go."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """LAPWING_CACHE, else XDG_CACHE_HOME/lapwing, else ~/.cache/lapwing; None without a home."""
    chosen = os.environ.get("LAPWING_CACHE")
    if chosen:
        return Path(chosen)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():  # others are to be ignored, says the XDG specification
        return base / "lapwing"
    try:
        return Path.home() / ".cache" / "lapwing"
    except RuntimeError:
        return None
