"""A tensor that is known before it is read."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from lapwing.errors import WeightsError
from lapwing.place import Place
from lapwing.weights.safetensors import SafetensorsFile, TensorInfo


class LazyTensor:
    """Name, dtype (safetensors spelling) and shape of a stored tensor; `get` maps its bytes."""

    def __init__(self, source: SafetensorsFile, name: str) -> None:
        info = source.tensors[name]
        self.name = name
        self.dtype = info.dtype
        self.shape = info.shape
        self.nbytes = info.nbytes
        self.file: Place = source.path
        self._source: SafetensorsFile | None = source
        self._loaded = False

    @classmethod
    def unloadable(cls, name: str, shape: tuple[int, ...], where: Place) -> LazyTensor:
        """Stands in for a tensor that `where` does not hold in this shape; `get` raises."""
        tensor = cls.__new__(cls)
        tensor.name = name
        tensor.dtype = "F32"
        tensor.shape = shape
        tensor.nbytes = 4 * math.prod(shape)
        tensor.file = where
        tensor._source = None
        tensor._loaded = False
        return tensor

    @property
    def loaded(self) -> bool:
        """Whether `get` was called since the last `release`, so that pages may be resident."""
        return self._loaded

    @property
    def info(self) -> TensorInfo:
        """Where it lies in its file. Raises WeightsError where it is not stored."""
        return self._stored().tensors[self.name]

    def _stored(self) -> SafetensorsFile:
        if self._source is None:
            raise WeightsError(
                f"{self.file}: {self.name!r} of shape {list(self.shape)} is not stored here. "
                "Scope.finish() lists everything that is missing."
            )
        return self._source

    def get(self) -> npt.NDArray[Any]:
        """Read-only array of `shape` over the mapped file; BF16 comes as its bits in uint16."""
        array = self._stored().view(self.name)
        self._loaded = True
        return array

    def release(self) -> None:
        """Give the resident pages back to the system; `get` reads them anew."""
        if self._source is not None:
            self._source.release(self.name)
        self._loaded = False

    def __repr__(self) -> str:
        return f"LazyTensor({self.name!r}, {self.dtype}, {list(self.shape)})"
