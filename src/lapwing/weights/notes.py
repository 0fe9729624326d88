"""Small JSON files in the cache folder: what was found out about this machine, by a name each."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lapwing.weights.cache_folder import cache_folder


def recall(file: str) -> dict[str, Any]:
    """What the file has; nothing, for whatever reason it cannot be read."""
    path = _path(file)
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def remember(file: str, notes: Mapping[str, Any]) -> bool:
    """Adds to the file, which is whole at any moment; False where the cache takes none.

    Of two processes that write at once one may lose its note, which is found out again then.
    """
    path = _path(file)
    if path is None:
        return False
    draft = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**recall(file), **notes}, indent=1)
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError:
        return False
    return True


def _path(file: str) -> Path | None:
    folder = cache_folder()
    return folder / file if folder else None
