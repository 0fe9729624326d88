"""One safetensors file, mapped: its header is proven before any tensor can be asked for.

Layout: 8 bytes little-endian header length N, N bytes of JSON
`{"name": {"dtype": "F16", "shape": [2, 3], "data_offsets": [begin, end]}, …}`, then the data;
offsets count from the first data byte.
"""

from __future__ import annotations

import math
import mmap
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from lapwing.errors import WeightsError
from lapwing.weights.jsonfile import json_type, parse_json

MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself
MAX_RANK = 32  # the most axes every supported NumPy accepts
MAX_NBYTES = 2**63 - 1

# Spelling in the file → NumPy's; bfloat16 and 8-bit floats, which it lacks, are held as bits.
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "F8_E4M3": np.dtype("u1"),
    "F8_E5M2": np.dtype("u1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}

_INCOMPLETE = "Perhaps the download or copy is incomplete: fetch the file again."
_DAMAGED = "The file is damaged, or was written by a faulty program: fetch or save it again."


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies; `begin` and `end` are absolute offsets in the file, in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor's data."""
        return self.end - self.begin


class SafetensorsFile:
    """A mapped file; all `tensors` are proven to lie inside it, their data is read when touched.

    Raises WeightsError, naming the file and the tensor, for anything that is not sound.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._map: mmap.mmap | None = None
        try:
            # A pipe or a device would block or never end: look before opening.
            if not stat.S_ISREG(self.path.stat().st_mode):
                what = "a directory" if self.path.is_dir() else "not a regular file"
                raise WeightsError(f"{self.path}: expected a safetensors file, found {what}.")
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                header, data_begin = read_header(file.read, size, self.path)
                self.tensors = read_tensors(header, data_begin, size, self.path)
                self.metadata = read_metadata(header)
                self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise WeightsError(
                f"{self.path}: no such file. Was it moved, or removed from the cache?"
            ) from None
        except PermissionError:
            raise WeightsError(
                f"{self.path}: no permission to read it. Change the file's permissions."
            ) from None
        except (OSError, ValueError) as error:  # ValueError: the file shrank before it was mapped
            raise WeightsError(f"{self.path}: cannot be mapped ({error}).") from None

    def view(self, name: str) -> npt.NDArray[Any]:
        """Read-only array over the mapping, nothing copied; BF16 and 8-bit floats come as bits.

        A tensor may start at any byte, so the array may be unaligned (`flags.aligned`): NumPy reads
        such arrays correctly, native code must check.
        """
        info = self._info(name)
        if self._map is None:
            raise WeightsError(
                f"{self.path}: {name!r} was asked for after the file was closed. Load the model "
                "again."
            )
        dtype = NUMPY_DTYPES[info.dtype]
        if info.nbytes == 0:
            empty = np.empty(info.shape, dtype)
            empty.flags.writeable = False
            return empty
        count = info.nbytes // dtype.itemsize
        flat = np.frombuffer(self._map, dtype, count, info.begin)
        return flat.reshape(info.shape)

    def release(self, name: str) -> None:
        """Give the tensor's resident pages back; views stay valid and read from the disk again.

        Only whole pages inside the span go: its first and last page may hold a neighbour's bytes.
        """
        info = self._info(name)
        if self._map is None or not hasattr(self._map, "madvise"):
            return
        first = -(-info.begin // mmap.PAGESIZE) * mmap.PAGESIZE
        last = info.end // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            self._map.madvise(mmap.MADV_DONTNEED, first, last - first)

    def close(self) -> None:
        """Let go of the mapping; it is unmapped once the last view of it is gone."""
        mapped, self._map = self._map, None
        if mapped is not None:
            with suppress(BufferError):  # views are alive: they own it now
                mapped.close()

    def __enter__(self) -> SafetensorsFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _info(self, name: str) -> TensorInfo:
        try:
            return self.tensors[name]
        except KeyError:
            raise WeightsError(
                f"{self.path}: no tensor {name!r} among its {len(self.tensors)}."
            ) from None


def read_header(read: Any, size: int, path: Path) -> tuple[dict[str, Any], int]:
    """The parsed header and the offset of the first data byte."""
    if size < 8:
        raise WeightsError(
            f"{path}: {size} bytes; a safetensors file has at least 8 of header length. "
            f"{_INCOMPLETE}"
        )
    length = int.from_bytes(read(8), "little")
    if length > size - 8:
        raise WeightsError(
            f"{path}: the header claims {length} bytes, but only {size - 8} follow. {_INCOMPLETE}"
        )
    if length > MAX_HEADER_BYTES:
        raise WeightsError(
            f"{path}: the header claims {length} bytes; at most {MAX_HEADER_BYTES} are accepted. "
            f"{_DAMAGED}"
        )
    try:
        header = parse_json(read(length))
    except ValueError as error:
        raise WeightsError(f"{path}: the header is not valid JSON: {error}. {_DAMAGED}") from None
    if not isinstance(header, dict):
        raise WeightsError(
            f"{path}: the header is {json_type(header)}, expected an object. {_DAMAGED}"
        )
    return header, 8 + length


def read_tensors(
    header: dict[str, Any], data_begin: int, size: int, path: Path
) -> dict[str, TensorInfo]:
    """By name, each proven to lie in the file, none of them over another."""
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            tensors[name] = _read_tensor(name, entry, data_begin, size)
        except ValueError as error:
            raise WeightsError(f"{path}: {name!r} {error}") from None
    spans = sorted((t for t in tensors.values() if t.nbytes), key=lambda t: t.begin)
    for before, after in pairwise(spans):
        if after.begin < before.end:
            raise WeightsError(
                f"{path}: {before.name!r} (bytes {before.begin} to {before.end}) and "
                f"{after.name!r} "
                f"(bytes {after.begin} to {after.end}) overlap. {_DAMAGED}"
            )
    return tensors


def _read_tensor(name: str, entry: Any, data_begin: int, size: int) -> TensorInfo:
    """Raises ValueError with the rest of a sentence that begins with the tensor's name."""
    if not isinstance(entry, dict):
        raise ValueError(f"is described by {json_type(entry)}, expected an object. {_DAMAGED}")
    for key in ("dtype", "shape", "data_offsets"):
        if key not in entry:
            raise ValueError(f"has no {key}. {_DAMAGED}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in NUMPY_DTYPES:
        raise ValueError(
            f"has dtype {dtype!r}, which is unknown here; known: {', '.join(NUMPY_DTYPES)}. "
            "Save the model again as F32, F16 or BF16."
        )
    if not isinstance(shape, list) or not all(_is_count(dim) for dim in shape):
        raise ValueError(
            f"has shape {_shorten(shape)}, expected a list of whole numbers ≥ 0. {_DAMAGED}"
        )
    if len(shape) > MAX_RANK:
        raise ValueError(f"has {len(shape)} axes; at most {MAX_RANK} are accepted. {_DAMAGED}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise ValueError(
            f"has data_offsets {_shorten(offsets)}, expected [begin, end] in whole bytes ≥ 0. "
            f"{_DAMAGED}"
        )
    itemsize = NUMPY_DTYPES[dtype].itemsize
    # Zeros count as ones here: NumPy, too, refuses axes whose other sizes overflow an empty array.
    if math.prod(dim or 1 for dim in shape) * itemsize > MAX_NBYTES:
        raise ValueError(
            f"has shape {_shorten(shape)}: its size in bytes overflows 64 bits. {_DAMAGED}"
        )
    begin, end = offsets
    if begin > end:
        raise ValueError(f"begins at byte {begin}, after its end at {end}. {_DAMAGED}")
    if data_begin + end > size:
        raise ValueError(
            f"ends at byte {data_begin + end}, but the file has only {size}. {_INCOMPLETE}"
        )
    expected = math.prod(shape) * itemsize
    if end - begin != expected:
        raise ValueError(
            f"holds {end - begin} bytes, but {dtype} {shape} needs {expected}. {_DAMAGED}"
        )
    return TensorInfo(name, dtype, tuple(shape), data_begin + begin, data_begin + end)


def read_metadata(header: dict[str, Any]) -> dict[str, str]:
    """The file's own remarks; entries that are not text are passed over."""
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict):
        return {}
    return {key: value for key, value in metadata.items() if isinstance(value, str)}


def _is_count(value: object) -> bool:
    """A whole number ≥ 0 that is not a bool, which Python counts among the integers."""
    return type(value) is int and value >= 0


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
