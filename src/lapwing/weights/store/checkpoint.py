"""A model in a store, opened: as Checkpoint is of a directory."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from lapwing.errors import ConfigError, WeightsError
from lapwing.place import Place, StoredPath
from lapwing.quant import scheme
from lapwing.weights.checkpoint import Checkpoint, read_config
from lapwing.weights.files import CONFIG, GENERATION_CONFIG
from lapwing.weights.jsonfile import read_json_object
from lapwing.weights.lazy import LazyTensor
from lapwing.weights.safetensors import NUMPY_DTYPES
from lapwing.weights.store.file import StoreFile
from lapwing.weights.store.format import FLOATS, PLANES, TURNED, TableEntry
from lapwing.weights.store.source import Source

# mapped: views of the file, proven by nobody. owned: copies, proven. streamed: views, proven by a
# reader that goes ahead; asking for one waits for it.
Access = Literal["mapped", "owned", "streamed"]


class Gate(Protocol):
    """What a streamed tensor waits at."""

    def wait(self, name: str) -> None:
        """Until the tensor has been read. Raises WeightsError where it is damaged."""
        ...


class StoredTensor(LazyTensor):
    """A tensor of the checkpoint, as a store keeps it: planes, or floats as passes read them."""

    def __init__(self, home: StoredCheckpoint, name: str, entry: TableEntry) -> None:
        self.name, self.dtype, self.shape = name, entry.dtype, entry.shape
        self.nbytes = math.prod(entry.shape) * NUMPY_DTYPES[entry.dtype].itemsize
        self.file = home.store.path
        self.entry, self.key = entry, f"{home.inside}{name}"
        self._home, self._loaded = home, False
        rows, columns = entry.shape if len(entry.shape) == 2 else (1, self.size)
        self._N, self._K = (rows, columns) if entry.layout == "nk" else (columns, rows)

    @property
    def size(self) -> int:
        """Weights."""
        return math.prod(self.shape)

    @property
    def quantized(self) -> bool:
        """Kept as planes."""
        return self.entry.kept == PLANES

    @property
    def turned(self) -> bool:
        """Kept as [N, K], whatever the checkpoint's layout."""
        return self.entry.kept == TURNED

    @property
    def has_refine(self) -> bool:
        """Whether its refine plane is here."""
        return f"refine/{self.entry.at}" in self._home.store.tensors

    @property
    def advice(self) -> str:
        """What to do about a store that is not as it should be."""
        return self._home.store.advice

    @property
    def mapped(self) -> bool:
        """Read where the file's mapping has it, whenever a pass does."""
        return self._home.access == "mapped"

    @property
    def pieces(self) -> list[str]:
        """Names in the file; the refine plane is the last."""
        at = self.entry.at
        if not self.quantized:
            return [f"float/{at}"]
        return [f"base/{at}", f"factors/{at}", *([f"refine/{at}"] if self.has_refine else ())]

    def planes(self, *, refine: bool) -> scheme.PlaneArrays:
        """Raises WeightsError where it is not kept so, or where the file is damaged."""
        if not self.quantized or (refine and not self.has_refine):
            what = "refine plane" if self.quantized else "planes"
            raise WeightsError(f"{self.file}: has no {what} of {self.name!r}.")
        at, self._loaded = self.entry.at, True
        base = self._home.fetch(f"base/{at}")
        low = self._home.fetch(f"refine/{at}") if refine else None
        arrays = scheme.PlaneArrays(self._N, self._K, base, low, self._home.fetch(f"factors/{at}"))
        rows = scheme.row_group_count(self._N)
        expected = ((rows, scheme.base_stride(self._K)), (rows, 2))
        if (base.shape, arrays.factors.shape) != expected or (
            low is not None and low.shape != (rows, scheme.refine_stride(self._K))
        ):
            raise WeightsError(f"{self.file}: the planes of {self.name!r} do not fit its shape.")
        return arrays

    def get(self) -> npt.NDArray[Any]:
        """Floats as passes read them. Raises WeightsError for a tensor that is kept as planes.

        Of a tensor that is kept turned, a view of the checkpoint's shape.
        """
        if self.quantized:
            raise WeightsError(
                f"{self.file}: {self.name!r} is kept as planes here. Its floats are in the "
                "checkpoint that the store was made from."
            )
        array = self._home.fetch(f"float/{self.entry.at}")
        if self.turned:
            array = array.T
        if array.shape != self.shape:
            raise WeightsError(f"{self.file}: {self.name!r} does not have its shape.")
        self._loaded = True
        return array

    @property
    def held_dtype(self) -> str:
        """Of floats: as they are kept, in safetensors' spelling."""
        return self._home.store.span(f"float/{self.entry.at}").dtype

    def release(self) -> None:
        """Gives resident pages back; `get` and `planes` read them anew."""
        if self._loaded:
            for piece in self.pieces:
                self._home.store.release(piece)
        self._loaded = False


class StoredCheckpoint(Checkpoint):
    """`config`, `generation_config` and `tensors` of a store.

    Small files are read where they came from, as long as that is there and unchanged (`source`),
    else out of the store.
    """

    def __init__(
        self,
        store: StoreFile,
        access: Access = "mapped",
        source: Path | None = None,
        inside: str = "",
    ) -> None:
        """inside: a module's folder, with a slash behind it."""
        self.store, self.access, self.inside = store, access, inside
        self.gate: Gate | None = None
        self._owned: WeakValueDictionary[str, npt.NDArray[Any]] = WeakValueDictionary()
        self.files, self._folders = [], []
        self.directory: Place
        if source is not None:
            self.directory = source / inside if inside else source
        else:
            names = [name for name in store.tensors if name.startswith("file/")]
            files = {n.removeprefix("file/"): _reader(store, n) for n in names}
            self.directory = StoredPath(store.path, files, inside.rstrip("/"))
        self.config = read_config(self.directory) if not inside else _optional(self.directory)
        generation = self.directory / GENERATION_CONFIG
        self.generation_config = (
            read_json_object(generation, ConfigError) if generation.is_file() else {}
        )
        self._source = source
        self.tensors = {
            name.removeprefix(inside): StoredTensor(self, name.removeprefix(inside), entry)
            for name, entry in store.contents.table.items()
            if name.startswith(inside) and "/" not in name.removeprefix(inside)
        }

    @property
    def origin(self) -> Source:
        """What the store was made from."""
        return Source.from_dict(self.store.contents.source)

    @property
    def digest(self) -> str:
        """Of the names and contents of all tensors."""
        lines = sorted(f"{name} {each.digest}" for name, each in self.store.contents.table.items())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def fetch(self, piece: str) -> npt.NDArray[Any]:
        """A piece of a tensor, the way this checkpoint is opened."""
        if self.access == "owned":
            array = self._owned.get(piece)
            if array is None:
                array = self._owned[piece] = self.store.read(piece)
            return array
        if self.access == "streamed" and self.gate is not None:
            self.gate.wait(piece)
        return self.store.view(piece)

    @property
    def folders(self) -> list[StoredCheckpoint]:
        """Opened inside this one."""
        return [each for each in self._folders if isinstance(each, StoredCheckpoint)]

    def folder(self, name: str) -> Checkpoint:
        """A checkpoint inside this one."""
        inside = StoredCheckpoint(self.store, self.access, self._source, f"{name}/")
        inside.gate = self.gate
        self._folders.append(inside)
        return inside

    def close(self) -> None:
        """Unmaps the file, as soon as no array over it is in use."""
        self.store.close()


def carried_files(store: StoreFile) -> StoredPath:
    """The small files of a store, read: they outlive it."""
    names = [name for name in store.tensors if name.startswith("file/")]
    data = {name.removeprefix("file/"): _reader(store, name)() for name in names}
    return StoredPath(store.path, {name: partial(bytes, each) for name, each in data.items()})


def _reader(store: StoreFile, name: str) -> Any:
    return lambda: bytes(np.ascontiguousarray(store.read(name)))


def _optional(directory: Place) -> dict[str, Any]:
    path = directory / CONFIG
    return read_json_object(path, ConfigError) if path.is_file() else {}


__all__ = ["FLOATS", "PLANES", "Access", "StoredCheckpoint", "StoredTensor"]
