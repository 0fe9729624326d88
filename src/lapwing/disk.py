"""What makes a file last."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def sync_folder(folder: Path) -> None:
    """A name survives a power cut once its directory is on the disk."""
    if os.name != "posix":  # other systems do not open directories
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """The old file or the new one is there at any moment, whole; a link stays a link."""
    target = Path(os.path.realpath(path))
    draft = target.with_name(target.name + ".tmp")
    with draft.open("wb") as file:
        file.write(content)
        sync(file)
    draft.replace(target)
    sync_folder(target.parent)


def sync(file: BinaryIO) -> None:
    """Returns when all that was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())
