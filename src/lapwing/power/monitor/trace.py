"""Traces: files of samples, one a line, written while they are seen and shown again later."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from lapwing.errors import FileError
from lapwing.power.monitor.sample import Sample

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_LINE_BYTES = 1 << 20


class Recorder:
    """Writes a trace, a whole line at a time. Raises FileError, also where the file is there."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.count = Path(path), 0
        try:
            self._file = self.path.open("xb", buffering=0)
        except FileExistsError as error:
            raise FileError(
                f"{path}: is there already. Delete it, or choose another name."
            ) from error
        except OSError as error:
            raise FileError(f"{path}: cannot be written ({error.strerror}).") from error

    def write(self, sample: Sample) -> None:
        """One more. Where it does not fit the disk, the file ends with the one before."""
        line = f"{sample.to_json()}\n".encode()
        at = self._file.tell()
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            self._file.truncate(at)
            raise FileError(f"{self.path}: cannot be written ({error.strerror}).") from error
        self.count += 1

    def close(self) -> None:
        """No more samples."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_trace(path: str | os.PathLike[str]) -> Iterator[Sample]:
    """Samples in the order of the file. Raises FileError that names the line which is none."""
    try:
        with Path(path).open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                yield _sample(line, f"{path}, line {number}")
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}).") from error
    if number == 0:
        raise FileError(f"{path}: is empty. `lapwing monitor --record FILE` makes a trace.")


def _sample(line: bytes, where: str) -> Sample:
    try:
        if not line.endswith(b"\n"):
            raise ValueError("it is cut off" if len(line) <= MAX_LINE_BYTES else "it is too long")
        return Sample.from_json(line)
    except ValueError as error:
        raise FileError(
            f"{where}: expected a sample of `lapwing monitor --record FILE` ({error})."
        ) from error
