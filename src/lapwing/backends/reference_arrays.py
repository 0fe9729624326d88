"""What the NumPy backend keeps: weights as floats or planes, and the cache of keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapwing.backends.base import Floats, Layout
from lapwing.quant import scheme


class DenseMatrix:
    """Float weights read where they lie, as a [N, K] view."""

    refine_bytes = 0

    def __init__(self, data: NDArray[Any], dtype: str, layout: Layout) -> None:
        self.dtype = dtype
        self.data = data if layout == "nk" else data.T
        self.N, self.K = self.data.shape
        self.base_bytes = data.nbytes
        self.owned_bytes = data.nbytes if data.flags.writeable else 0


class PlaneMatrix:
    """Quantized weights. What a precision reads of them is decoded once and kept as float32.

    This backend is there to be right and to run anywhere, not to be small.
    """

    def __init__(self, planes: scheme.PlaneArrays) -> None:
        self.planes = planes
        self.N, self.K = planes.N, planes.K
        self.refine_bytes = 0 if planes.refine is None else planes.refine.nbytes
        self.base_bytes = planes.nbytes - self.refine_bytes
        self.owned_bytes = planes.nbytes if planes.base.base is None else 0
        self._decoded: dict[str, Floats] = {}

    def read(self, precision: str) -> Floats:
        """[N, K] as `int4` or `int8` reads it."""
        if precision not in self._decoded:
            self._decoded[precision] = scheme.decode(self.planes, precision)
        return self._decoded[precision]


class ArrayKVStore:
    """Keys and values as [layer, 2, Hkv, capacity, Dh]; the system commits pages as they fill.

    What lies behind a window stays where it is.
    """

    shortest = 0

    def __init__(
        self,
        layers: int,
        kv_heads: int,
        head_dim: int,
        capacity: int,
        dtype: str,
        windows: Sequence[int] = (),
    ) -> None:
        shape = (layers, 2, kv_heads, capacity, head_dim)
        self.data = np.empty(shape, np.float32 if dtype == "f32" else np.float16)
        self.length, self.capacity = 0, capacity
        self.windows = list(windows) or [0] * layers

    @property
    def nbytes(self) -> int:
        """See KVStore."""
        return self.data[:, :, :, : self.length].nbytes

    def truncate(self, length: int) -> None:
        """See KVStore."""
        if length > self.length:
            raise IndexError(
                f"cannot truncate to {length} positions: the cache holds {self.length}"
            )
        self.length = length

    def advance(self, count: int) -> None:
        """See KVStore."""
        if count > self.capacity - self.length:
            raise IndexError("the KV cache is full")
        self.length += count

    def fork(self) -> ArrayKVStore:
        """See KVStore."""
        copy = ArrayKVStore.__new__(ArrayKVStore)
        copy.data = np.empty_like(self.data)
        copy.length, copy.capacity, copy.windows = self.length, self.capacity, self.windows
        copy.data[:, :, :, : self.length] = self.data[:, :, :, : self.length]
        return copy
