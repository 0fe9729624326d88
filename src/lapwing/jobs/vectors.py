"""Vectors into a file, row after row: .npy, and JSON lines."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from lapwing.disk import replace_file, sync
from lapwing.errors import FileError, RequestError
from lapwing.jobs.files import take_lock

Floats = NDArray[np.float32]

EXTENSIONS = (".npy", ".jsonl")
HEADER_BYTES = 128  # what np.save makes of any [n, D]: there is room for 20 digits of n
_MAGIC = b"\x93NUMPY\x01\x00"
_CHANGED = "It was changed since; --force starts again."
_LITTLE_FLOAT = np.dtype("<f4")


class VectorWriter(Protocol):
    """Appends rows in order. What `checkpoint` returned from survives a kill and a power cut."""

    def append(self, vectors: Floats) -> int:
        """vectors [n, D] → bytes from the beginning to their end."""
        ...

    def checkpoint(self, rows: int, size_bytes: int) -> None:
        """Makes the first `rows`, which are `size_bytes`, durable; what is behind them goes."""
        ...

    def close(self) -> None:
        """Without a checkpoint."""
        ...


class NpyWriter:
    """NumPy's format 1.0, float32 [n, D]: np.load reads the rows of the last checkpoint any time.

    rows: of the checkpoint to go on from; without any, a file of that name is replaced.
    """

    def __init__(self, path: Path, D: int, rows: int = 0) -> None:
        self._D = D
        if rows == 0:
            replace_file(path, npy_header(0, D))
        begins = npy_header(0, D).partition(b"(")[0]  # all but the shape
        self._file = _reopen(path, self._size_bytes(rows), 0, begins)

    def append(self, vectors: Floats) -> int:
        """See VectorWriter."""
        self._file.write(np.ascontiguousarray(vectors, _LITTLE_FLOAT).data)
        return self._file.tell()

    def checkpoint(self, rows: int, size_bytes: int) -> None:
        """See VectorWriter."""
        sync(self._file)  # the rows, before the header counts them
        self._file.seek(0)
        self._file.write(npy_header(rows, self._D))
        self._file.truncate(self._size_bytes(rows))
        sync(self._file)
        self._file.seek(0, io.SEEK_END)

    def close(self) -> None:
        """See VectorWriter."""
        self._file.close()

    def _size_bytes(self, rows: int) -> int:
        return HEADER_BYTES + rows * self._D * _LITTLE_FLOAT.itemsize


class JsonlWriter:
    """`{"index": 0, "embedding": [...]}` a line; numbers are the shortest that float32 reads back.

    rows, size_bytes: of the checkpoint to go on from; without any, a file of that name is replaced.
    """

    def __init__(self, path: Path, rows: int = 0, size_bytes: int = 0) -> None:
        if rows == 0:
            replace_file(path, b"")
        self._file = _reopen(path, size_bytes, size_bytes - 1, b"\n" if rows else b"")
        self._rows = rows

    def append(self, vectors: Floats) -> int:
        """See VectorWriter."""
        self._file.write(json_lines(vectors, self._rows))
        self._rows += len(vectors)
        return self._file.tell()

    def checkpoint(self, rows: int, size_bytes: int) -> None:
        """See VectorWriter."""
        self._file.truncate(size_bytes)
        sync(self._file)
        self._file.seek(size_bytes)

    def close(self) -> None:
        """See VectorWriter."""
        self._file.close()


class JsonlStream:
    """JSON lines into a stream that goes forward only: a pipe, a terminal."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._rows, self._size_bytes = stream, 0, 0

    def append(self, vectors: Floats) -> int:
        """See VectorWriter."""
        lines = json_lines(vectors, self._rows)
        self._rows += len(vectors)
        self._size_bytes += len(lines)
        self._stream.write(lines)
        self._stream.flush()
        return self._size_bytes

    def checkpoint(self, rows: int, size_bytes: int) -> None:
        """Nothing: whoever reads it has it."""

    def close(self) -> None:
        """Nothing: whoever opened it closes it."""


def check_extension(path: Path) -> None:
    """Raises RequestError for a name that says no format of vectors."""
    if path.suffix.lower() not in EXTENSIONS:
        raise RequestError(f"{path}: expected a name that ends in {' or '.join(EXTENSIONS)}")


def open_writer(path: Path, D: int, rows: int = 0, size_bytes: int = 0) -> VectorWriter:
    """By the extension. rows, size_bytes: of the checkpoint to go on from."""
    check_extension(path)
    if path.suffix.lower() == ".npy":
        return NpyWriter(path, D, rows)
    return JsonlWriter(path, rows, size_bytes)


def npy_header(rows: int, D: int) -> bytes:
    """Always of HEADER_BYTES, so that the rows are counted in place."""
    shape = f"{{'descr': '{_LITTLE_FLOAT.str}', 'fortran_order': False, 'shape': ({rows}, {D}), }}"
    room = HEADER_BYTES - len(_MAGIC) - 2
    text = shape.ljust(room - 1) + "\n"
    return _MAGIC + room.to_bytes(2, "little") + text.encode("ascii")


def json_lines(vectors: Floats, first: int) -> bytes:
    """vectors [n, D] as n lines, the first of which has the index `first`."""
    lines = io.BytesIO()
    # As bytes NumPy writes a float32 as short as it can be: 0.1, and not 0.10000000149011612.
    for index, row in enumerate(vectors.astype("S").tolist(), first):
        lines.write(b'{"index": %d, "embedding": [%b]}\n' % (index, b", ".join(row)))
    return lines.getvalue()


def _reopen(path: Path, size_bytes: int, at: int, holds: bytes) -> BinaryIO:
    """To write behind `size_bytes`; raises FileError where it is not what was left there.

    holds: the bytes that begin at `at`. Another process that writes is an error, too.
    """
    file = path.open("r+b")
    there = file.seek(0, io.SEEK_END)
    problem = None
    if not take_lock(file):
        problem = "another process is writing to it. Wait for it, or end it."
    elif there < size_bytes:
        problem = f"it has {there} bytes, and had {size_bytes} when it was left. {_CHANGED}"
    else:
        file.seek(max(at, 0))
        if file.read(len(holds)) != holds:
            problem = f"at byte {at} it does not hold what was left there. {_CHANGED}"
    if problem:
        file.close()
        raise FileError(f"{path}: {problem}")
    file.seek(size_bytes)
    return file
