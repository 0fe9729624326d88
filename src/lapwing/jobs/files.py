"""Files of jobs: opened in words where they cannot be, and locked while one process has them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

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
