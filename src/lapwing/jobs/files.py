"""Files that outlive a kill: replaced whole, or appended to and synced before anything says so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from lapwing.disk import sync_folder
from lapwing.errors import FileError


def open_to_read(path: Path) -> BinaryIO:
    """Raises FileError in words where it cannot be opened."""
    if path.is_dir():
        raise FileError(f"{path}: expected a file, found a directory")
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise FileError(f"{path}: no such file (looked in {Path.cwd()})") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None


def check_writable(path: Path) -> None:
    """Raises FileError before any work is done where no file can be made at `path`."""
    folder = path.parent
    if not folder.is_dir():
        raise FileError(f"{path}: no such directory {folder}. Make it first.")
    if path.is_dir():
        raise FileError(f"{path}: expected the name of a file, found a directory")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(f"{path}: this user may not write to the directory {folder}")


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


def take_lock(file: BinaryIO) -> bool:
    """Until it is closed; False while another process has it. Elsewhere than on POSIX, True."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
