"""Where sensor files are read from: this machine's /sys and /proc, a copy of them, or a recording.

Paths are as the machine has them, without the first slash: `sys/class/hwmon/hwmon0/name`.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from lapwing.errors import FileError, RequestError

ROOT_VARIABLE = "LAPWING_SYSFS"
FORMAT = "lapwing sensors 1"
MAX_FILE_BYTES = 64 << 10  # sysfs files are a page at most
MAX_RECORDING_BYTES = 64 << 20
_CONTENTS = ("class", "devices", "bus", "firmware")  # of a /sys; one of them tells a folder is one


class NoValueError(ValueError):
    """What was read says that there is no value now; the message says why."""


class Tree(Protocol):
    """Text files under a root.

    label: where, for people. own: it is this machine's, so that system calls speak of the same.
    """

    label: str
    own: bool

    def text(self, path: str) -> str:
        """Of one file, without white space around it; raises OSError."""
        ...

    def names(self, folder: str) -> list[str]:
        """What is in a folder, hwmon2 before hwmon10; nothing, where it is not there."""
        ...


class Disk:
    """Real files. A root that is a copy of /sys alone has no `proc`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.label = str(root)
        self.own = root == Path("/")
        is_sys = not (root / "sys").is_dir() and any((root / name).is_dir() for name in _CONTENTS)
        self._root, self._only_sys = f"{str(root).rstrip('/')}/", is_sys

    def text(self, path: str) -> str:
        """See Tree."""
        descriptor = os.open(self._path(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, MAX_FILE_BYTES)  # files of sysfs come whole or not at all
        finally:
            os.close(descriptor)
        return data.decode("utf-8", errors="replace").strip(" \t\r\n\0")

    def names(self, folder: str) -> list[str]:
        """See Tree."""
        try:
            return sorted(os.listdir(self._path(folder)), key=_natural)  # noqa: PTH208
        except OSError:
            return []

    def _path(self, path: str) -> str:
        first, _, rest = path.partition("/")
        return self._root + (rest if self._only_sys and first == "sys" else path)


class Recording:
    """Files in memory: a recording of `lapwing doctor --record`, or what a test says is there.

    files: text, or an OSError that reading raises. May be changed between readings.
    """

    def __init__(self, files: Mapping[str, str | OSError], label: str = "recording") -> None:
        self.files = dict(files)
        self.label, self.own = label, False

    def text(self, path: str) -> str:
        """See Tree."""
        found = self.files.get(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if isinstance(found, OSError):
            raise found
        return found.strip(" \t\r\n\0")

    def names(self, folder: str) -> list[str]:
        """See Tree."""
        before = folder.rstrip("/") + "/"
        below = (path[len(before) :] for path in self.files if path.startswith(before))
        found = {path.partition("/")[0] for path in below}
        return sorted(found, key=_natural)

    def dump(self) -> str:
        """As the text of a file that `parse` reads."""
        files: dict[str, Any] = {
            path: text if isinstance(text, str) else {"error": _error_name(text)}
            for path, text in sorted(self.files.items())
        }
        return json.dumps({"format": FORMAT, "files": files}, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str, label: str = "recording") -> Recording:
        """Raises ValueError where it is not what `dump` writes."""
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"no recording ('format' is not {FORMAT!r})")
        files = document.get("files")
        if not isinstance(files, dict):
            raise ValueError("'files' is no object")
        return cls({path: _recorded(path, value) for path, value in files.items()}, label)


def open_tree(place: str | os.PathLike[str] | None = None) -> Tree:
    """A folder, or a file that `lapwing doctor --record` wrote.

    None: LAPWING_SYSFS, else this machine. Raises RequestError where there is nothing, FileError
    where a file is no recording.
    """
    chosen = os.environ.get(ROOT_VARIABLE) if place is None else place
    if not chosen:
        return _own_tree()
    path = Path(chosen)
    if path.is_dir():
        return Disk(path)
    if not path.is_file():
        raise RequestError(
            f"{path}: expected a folder that holds sys (and proc), a copy of /sys, or a file that "
            "`lapwing doctor --record` wrote; there is no such file or folder."
        )
    try:
        if path.stat().st_size > MAX_RECORDING_BYTES:
            raise ValueError(f"it is larger than {MAX_RECORDING_BYTES >> 20} MiB")
        return Recording.parse(path.read_text(encoding="utf-8"), str(path))
    except (ValueError, RecursionError, OSError) as error:
        raise FileError(
            f"{path}: expected a recording of sensors ({error}). Make one with "
            "`lapwing doctor --record FILE`."
        ) from error


def _own_tree() -> Tree:
    if sys.platform == "darwin":
        from lapwing.power.sensors.macos_commands import Commands

        return Commands()
    if sys.platform == "win32":
        from lapwing.power.sensors.windows_calls import Calls

        return Calls()
    return Disk()


def whole(tree: Tree, path: str) -> int:
    """The whole number that a file holds; raises OSError, or ValueError where it holds none."""
    text = tree.text(path)
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text, re.ASCII):
        raise ValueError(f"{path.rpartition('/')[2]} holds {text[:20]!r}, which is no number")
    return int(text)


def word(tree: Tree, path: str) -> str:
    """The text that a file holds; empty, where it cannot be read."""
    try:
        return tree.text(path)
    except OSError:
        return ""


def _recorded(path: str, value: Any) -> str | OSError:
    if isinstance(value, str):
        return value
    name = value.get("error") if isinstance(value, dict) else None
    code = getattr(errno, name, None) if isinstance(name, str) and name[:1] == "E" else None
    if not isinstance(code, int):
        raise ValueError(f"{path}: neither text nor an error")
    return OSError(code, os.strerror(code), path)


def _error_name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "EIO")


def _natural(name: str) -> list[tuple[int, str]]:
    """`hwmon10` after `hwmon2`."""
    pieces = re.split(r"([0-9]{1,20})", name, flags=re.ASCII)
    return [(int(piece), "") if i % 2 else (-1, piece) for i, piece in enumerate(pieces)]
