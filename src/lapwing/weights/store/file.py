"""A plane store that is there: its header proven at every open, its areas mapped apart."""

from __future__ import annotations

import io
import mmap
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lapwing.backends.checksum import crc32c
from lapwing.backends.read_ahead import ReadAhead, read_ahead
from lapwing.errors import WeightsError
from lapwing.weights.safetensors import (
    MAX_HEADER_BYTES,
    NUMPY_DTYPES,
    TensorInfo,
    read_header,
    read_metadata,
    read_tensors,
)
from lapwing.weights.store import format as store_format
from lapwing.weights.store.source import Source

CHUNK_BYTES = 1 << 20  # of a sequential read
FOLDER = "stores"  # in the cache folder: the shelf
SAMPLES = 64  # places that are asked whether memory has them


class StoreFile:
    """`contents` say what it holds; `view` is an array over its mapping, nothing read.

    Raises WeightsError for a file that is no store, or whose header is not the one written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.proven = False  # read through, and found whole
        self._maps: dict[str, mmap.mmap] = {}
        self._fd = -1
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise WeightsError(f"{self.path}: expected a plane store, found no regular file.")
            self._fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            self._read()
        except (OSError, ValueError) as error:
            self.close()
            what = getattr(error, "strerror", None) or error
            raise WeightsError(f"{self.path}: cannot be read as a plane store ({what}).") from None
        except BaseException:
            self.close()
            raise

    @property
    def advice(self) -> str:
        """What to do about a damaged one."""
        return advice_on(self.path)

    def _read(self) -> None:
        self.nbytes = os.fstat(self._fd).st_size
        begin = os.pread(self._fd, 8, 0)
        length = int.from_bytes(begin, "little")
        raw = begin + _read_fully(self._fd, 8, length if length <= MAX_HEADER_BYTES else 0)
        header, self._data_begin = read_header(io.BytesIO(raw).read, self.nbytes, self.path)
        metadata = read_metadata(header)
        version = metadata.get(store_format.VERSION_KEY)
        if version is None:
            raise WeightsError(
                f"{self.path}: a safetensors file, but no plane store. Pass the directory of a "
                "model."
            )
        if version != store_format.VERSION:
            raise WeightsError(
                f"{self.path}: a plane store of version {version!r}; this version of lapwing reads "
                f"{store_format.VERSION!r}. {self.advice}"
            )
        if not store_format.header_is_whole(raw):
            raise WeightsError(
                f"{self.path}: its header is not the one that was written: the checksum differs. "
                f"{self.advice}"
            )
        self.header_crc = crc32c(raw)
        self.tensors = read_tensors(header, self._data_begin, self.nbytes, self.path)
        try:
            self.contents = store_format.read_contents(metadata)
            codes = store_format.read_crcs(metadata)
            self._crcs = dict(zip(self._in_order(), codes, strict=True))
            self._area_of = self._areas()
            self._check_pieces()
            Source.from_dict(self.contents.source)
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{self.path}: its header makes no sense ({error}). {self.advice}"
            ) from None

    def _in_order(self) -> list[str]:
        """Names in the order of the file; of those at the same byte, what holds none is first."""
        return sorted(self.tensors, key=lambda name: (self.tensors[name].begin, self._end(name)))

    def _end(self, name: str) -> int:
        return self.tensors[name].end

    def _check_pieces(self) -> None:
        """Raises ValueError for tensors of the table that are not here as it says."""
        for entry in self.contents.table.values():
            for name, dtypes, shape in store_format.pieces_of(entry):
                info = self.tensors.get(name)
                if info is None and name.startswith("refine/"):  # of stores of base planes
                    continue
                if info is None or name not in self._area_of:
                    raise ValueError(f"there is no {name!r}")
                if info.dtype not in dtypes or info.shape != shape:
                    raise ValueError(
                        f"{name!r} is {info.dtype} {list(info.shape)}, expected "
                        f"{' or '.join(dtypes)} {list(shape)}"
                    )
                if info.begin % store_format.TENSOR_BYTES:
                    raise ValueError(f"{name!r} begins at byte {info.begin}")

    def _areas(self) -> dict[str, str]:
        """Tensor → area. Raises ValueError for areas that are not there or not on borders."""
        homes: dict[str, str] = {}
        for area, (begin, end) in self.contents.areas.items():
            first, last = self._data_begin + begin, self._data_begin + end
            if first % store_format.AREA_BYTES or not first <= last <= self.nbytes:
                raise ValueError(f"area {area!r} from {first} to {last}")
            for name, info in self.tensors.items():
                if first <= info.begin and info.end <= last:
                    homes[name] = area
        return homes

    def span(self, name: str) -> TensorInfo:
        """Where a tensor lies. Raises WeightsError for one that is not here."""
        info = self.tensors.get(name)
        if info is None or name not in self._area_of:
            raise WeightsError(f"{self.path}: holds no {name!r}. {self.advice}")
        return info

    def area_of(self, name: str) -> str:
        """See format.AREAS. Raises WeightsError for a tensor that is not here."""
        self.span(name)
        return self._area_of[name]

    def view(self, name: str) -> npt.NDArray[Any]:
        """Read-only array over the mapping of its area."""
        info = self.span(name)
        dtype = NUMPY_DTYPES[info.dtype]
        if info.nbytes == 0:
            return np.empty(info.shape, dtype)
        area = self._area_of[name]
        offset = info.begin - self._area_begin(area)
        flat = np.frombuffer(self._map(area), dtype, info.nbytes // dtype.itemsize, offset)
        return flat.reshape(info.shape)

    def read(self, name: str) -> npt.NDArray[Any]:
        """A copy in memory of its own, proven. Raises WeightsError naming a damaged tensor."""
        info = self.span(name)
        array = np.empty(info.shape, NUMPY_DTYPES[info.dtype])
        if info.nbytes:
            target, done, crc = array.reshape(-1).view(np.uint8), 0, 0
            while done < info.nbytes:
                piece = target[done : done + CHUNK_BYTES]
                got = self.read_at(info.begin + done, piece.data)
                if got == 0:
                    break
                crc = crc32c(piece[:got], crc)  # while it is in the processor's cache
                done += got
            self.check(name, crc)
        array.flags.writeable = False
        return array

    def check(self, name: str, crc: int) -> None:
        """Raises WeightsError if that is not the CRC-32C of the tensor as written."""
        if crc != self._crcs[name]:
            raise WeightsError(
                f"{self.path}: {name!r} is not what was written: its checksum is {crc:08x}, "
                f"expected {self._crcs[name]:08x}. {self.advice}"
            )

    def read_piece(self, piece: str, offset: int, buffer: memoryview) -> int:
        """As `read_at`; the piece is in this file."""
        return self.read_at(offset, buffer)

    def read_ahead(self, pieces: Sequence[str]) -> ReadAhead | None:
        """Reads them one after the other, without Python; None where that cannot be."""
        spans = [(self.span(piece).begin, self.span(piece).end) for piece in pieces]
        return read_ahead(self._fd, spans)

    def read_at(self, offset: int, buffer: memoryview) -> int:
        """Bytes read from the file into the buffer; 0 at its end."""
        return os.preadv(self._fd, [buffer], offset)

    def damaged(self, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Names of the tensors that are not what was written, pads too; reads all of the file.

        progress: called with bytes read and bytes in all.
        """
        names = [name for name, crc in self._read_crcs(progress) if crc != self._crcs[name]]
        self.proven = not names
        return names

    def _read_crcs(
        self, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[tuple[str, int]]:
        buffer = np.empty(CHUNK_BYTES, np.uint8)
        for name in self._in_order():
            info, crc, at = self.tensors[name], 0, self.tensors[name].begin
            while at < info.end:
                target = buffer.data[: min(CHUNK_BYTES, info.end - at)]
                got = self.read_at(at, target)
                if got == 0:
                    break
                crc = crc32c(buffer[:got], crc)
                at += got
                if progress is not None:
                    progress(at, self.nbytes)
            yield name, crc

    def release(self, name: str) -> None:
        """Gives a tensor's resident pages back; views stay valid."""
        area = self._area_of[name]
        mapped = self._maps.get(area)
        if mapped is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        info, base = self.tensors[name], self._area_begin(area)
        # Only whole pages: the first and the last may hold a neighbour's bytes.
        first = -(-(info.begin - base) // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (info.end - base) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            with suppress(OSError):
                mapped.madvise(mmap.MADV_DONTNEED, first, last - first)

    def cached_fraction(self, area: str) -> float:
        """How much of an area the system has in memory, by samples; 1 where it cannot be asked."""
        begin, end = self.area_span(area)
        if end <= begin or not hasattr(os, "RWF_NOWAIT"):
            return 1.0
        here, byte = 0, bytearray(1)
        for at in np.linspace(begin, end - 1, SAMPLES, dtype=np.int64).tolist():
            try:
                here += os.preadv(self._fd, [byte], at, os.RWF_NOWAIT)
            except BlockingIOError:
                continue
            except OSError:
                return 1.0
        return here / SAMPLES

    def area_span(self, area: str) -> tuple[int, int]:
        """First byte in the file, and the one behind the last; of areas that are not there, 0."""
        begin, end = self.contents.areas.get(area, (0, 0))
        return self._data_begin + begin, self._data_begin + end

    def _area_begin(self, area: str) -> int:
        return self._data_begin + self.contents.areas[area][0]

    def _map(self, area: str) -> mmap.mmap:
        if area not in self._maps:
            if self._fd < 0:
                raise WeightsError(f"{self.path}: was closed. Load the model again.")
            begin, end = self.contents.areas[area]
            self._maps[area] = mmap.mmap(
                self._fd, end - begin, access=mmap.ACCESS_READ, offset=self._data_begin + begin
            )
        return self._maps[area]

    def close(self) -> None:
        """Unmaps the areas, as soon as no array over them is in use."""
        for mapped in self._maps.values():
            with suppress(BufferError):  # views are alive: they own it now
                mapped.close()
        self._maps = {}
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def advice_on(path: Path) -> str:
    """What to do about a damaged store."""
    if path.parent.name != FOLDER:
        return "Delete it, and pack the model again (lapwing pack MODEL -o FILE)."
    return (
        f"Remove it (lapwing rm {path.name} --store); the next load makes it anew from the "
        "checkpoint."
    )


def is_store(path: Path) -> bool:
    """Whether there is a file that begins like a plane store, sound or not."""
    try:
        if not path.is_file():  # opening a pipe would wait
            return False
        with path.open("rb") as file:
            begin = file.read(4096)
    except (OSError, ValueError):
        return False
    return store_format.VERSION_KEY.encode() in begin


def _read_fully(fd: int, offset: int, count: int) -> bytes:
    parts = []
    while count > 0:
        part = os.pread(fd, min(count, CHUNK_BYTES), offset)
        if not part:
            break
        parts.append(part)
        offset, count = offset + len(part), count - len(part)
    return b"".join(parts)
