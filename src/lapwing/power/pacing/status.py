"""What a running process tells a monitor: one small file for each, in a folder of its user's.

    board = Board()
    board.publish(Status(pid=os.getpid(), …))     # once a second; never raises
    published()                                   # of all processes of this user, in a monitor

A monitor believes a file for five seconds, and only while its process is there.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import stat
import sys
import tempfile
import time
import weakref
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lapwing.power.strict import decode

MAX_AGE_S = 5.0
MAX_BYTES = 64 << 10
MAX_FILES = 1000
_NAME = re.compile(r"([1-9][0-9]{0,9})-[0-9]{1,6}\.json", re.ASCII)
_numbers = itertools.count()  # a process may have several models

log = logging.getLogger("lapwing.power")


@dataclass(frozen=True)
class Status:
    """Of one model of one process, at one second of the wall clock."""

    pid: int
    time_s: float
    model: str | None
    mode: str
    duty: float
    precision: str | None
    threads: int | None
    tokens_per_s: float | None
    reasons: tuple[str, ...]


class Board:
    """Where one model's status hangs, while the board lives. folder: None for this user's own."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._folder = None if folder is None else Path(folder)
        self._number = next(_numbers) % 1_000_000
        self._hung_by: int | None = None

    def publish(self, status: Status) -> None:
        """Instead of the one before; nothing where no folder is safe."""
        try:
            self._publish(status)
        except Exception as error:  # whatever it is, work goes on
            log.debug("no status for monitors: %s", error)

    def withdraw(self) -> None:
        """Nothing hangs there any more."""
        with suppress(Exception):
            folder = safe_folder(self._folder)
            if folder is not None:
                _remove(self._path(folder))

    def _publish(self, status: Status) -> None:
        text = json.dumps(asdict(status), allow_nan=False)
        folder = safe_folder(self._folder, make=True)
        if folder is None or len(text) > MAX_BYTES:
            return
        path = self._path(folder)
        if self._hung_by != os.getpid():  # the first time, here or since a fork
            _sweep(folder)
            weakref.finalize(self, _remove_as, os.getpid(), path)
            self._hung_by = os.getpid()
        new = path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _flag("O_NOFOLLOW") | _flag("O_CLOEXEC")
        descriptor = os.open(new, flags, 0o600)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
        os.replace(new, path)  # noqa: PTH105

    def _path(self, folder: Path) -> Path:
        return folder / f"{os.getpid()}-{self._number}.json"


def published(
    folder: str | os.PathLike[str] | None = None,
    max_age_s: float = MAX_AGE_S,
    now_s: float | None = None,
) -> list[Status]:
    """What processes of this user tell now, by their ids. Files that cannot be believed are none.

    folder: None for this user's own; now_s: of the wall clock.
    """
    where = safe_folder(None if folder is None else Path(folder))
    now_s = time.time() if now_s is None else now_s
    found = []
    for name in [] if where is None else _names(where):
        status = _read(where / name) if where is not None else None
        if status is not None and abs(now_s - status.time_s) <= max_age_s and _runs(status.pid):
            found.append(status)
    return found


def safe_folder(folder: Path | None = None, *, make: bool = False) -> Path | None:
    """A folder that this user alone can write to; None, where it is not. make: if it is not there.

    By default `$XDG_RUNTIME_DIR/lapwing`, else `lapwing-UID` among the temporary files.
    """
    folder = _own_folder() if folder is None else folder
    try:
        if make:
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        return folder if _is_ours(folder) else None
    except OSError:
        return None


def _own_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):  # noqa: PTH117
        with suppress(OSError):
            if _is_ours(Path(runtime)):
                return Path(runtime) / "lapwing"
    user = str(os.getuid()) if hasattr(os, "getuid") else "own"  # Windows has folders of the user's
    return Path(tempfile.gettempdir()) / f"lapwing-{user}"


def _is_ours(folder: Path) -> bool:
    found = folder.lstat()  # a link is no folder
    if not stat.S_ISDIR(found.st_mode):
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, MAX_FILES)]
    except OSError:
        return []
    matches = [match for name in names if (match := _NAME.fullmatch(name))]
    return [match[0] for match in sorted(matches, key=lambda match: (int(match[1]), match[0]))]


def _read(path: Path) -> Status | None:
    """None for what is no status of the process that its name tells."""
    flags = os.O_RDONLY | _flag("O_NOFOLLOW") | _flag("O_NONBLOCK") | _flag("O_CLOEXEC")
    try:
        descriptor = os.open(path, flags)
        try:
            found = os.fstat(descriptor)
            is_ours = not hasattr(os, "getuid") or found.st_uid == os.getuid()
            if not stat.S_ISREG(found.st_mode) or not is_ours or found.st_size > MAX_BYTES:
                return None
            text = os.read(descriptor, MAX_BYTES + 1)
        finally:
            os.close(descriptor)
        status = decode(Status, json.loads(text))
    except (OSError, ValueError, RecursionError):
        return None
    fits = 0.0 <= status.duty <= 1.0 and (status.tokens_per_s is None or status.tokens_per_s >= 0)
    return status if fits and path.name.startswith(f"{status.pid}-") else None


def _runs(pid: int) -> bool:
    """Whether the process is there, and this user's. On Windows, a signal would end it."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return True


def _sweep(folder: Path) -> None:
    """Takes down what killed processes have left."""
    for name in os.listdir(folder):  # noqa: PTH208
        match = _NAME.fullmatch(re.sub(r"\.new$", ".json", name))
        if match and not _runs(int(match[1])):
            _remove(folder / name)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _remove_as(pid: int, path: Path) -> None:
    """At the end of the process that hung it there; not of one that it forked."""
    if os.getpid() == pid:
        _remove(path)


def _flag(name: str) -> int:
    """Of `os.open`, where this system has it."""
    return getattr(os, name, 0)
