"""Where a model's small files are: a directory, or a folder inside one file.

What reads them is written for a Path; a StoredPath answers as much of it as they ask.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

Reader = Callable[[], bytes]


class StoredPath:
    """A path inside a file that carries others: `store.safetensors!/tokenizer.json`."""

    def __init__(self, carrier: Path, files: Mapping[str, Reader], inside: str = "") -> None:
        """files: name → its bytes, all that there are."""
        self._carrier, self._files = carrier, files
        self._inside = PurePosixPath(inside)

    def __truediv__(self, name: str | os.PathLike[str]) -> StoredPath:
        return StoredPath(self._carrier, self._files, str(self._inside / name))

    def __str__(self) -> str:
        inside = str(self._inside)
        return str(self._carrier) if inside == "." else f"{self._carrier}!/{inside}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredPath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def name(self) -> str:
        """Last part; of the folder itself, the carrier's."""
        return self._inside.name or self._carrier.name

    @property
    def stem(self) -> str:
        """`name` without its ending."""
        return PurePosixPath(self.name).stem

    def is_file(self) -> bool:
        """See Path."""
        return str(self._inside) in self._files

    def is_dir(self) -> bool:
        """See Path."""
        inside = str(self._inside)
        return inside == "." or any(name.startswith(inside + "/") for name in self._files)

    def exists(self) -> bool:
        """See Path."""
        return self.is_file() or self.is_dir()

    def stat(self) -> SimpleNamespace:
        """`st_size` alone."""
        return SimpleNamespace(st_size=len(self.read_bytes()))

    def read_bytes(self) -> bytes:
        """Raises FileNotFoundError."""
        reader = self._files.get(str(self._inside))
        if reader is None:
            raise FileNotFoundError(str(self))
        return reader()

    def glob(self, pattern: str) -> Iterator[StoredPath]:
        """Files right here whose names match."""
        for name in sorted(self._files):
            path = PurePosixPath(name)
            if path.parent == self._inside and fnmatchcase(path.name, pattern):
                yield StoredPath(self._carrier, self._files, name)


Place = Path | StoredPath
AnyPlace = str | os.PathLike[str] | StoredPath


def as_place(where: AnyPlace) -> Place:
    """A path from whatever names one."""
    return where if isinstance(where, StoredPath) else Path(where)
