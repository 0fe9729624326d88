"""Matrices that several models have in common: held once, found by their bytes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from lapwing.backends.base import Matrix


class SharedWeights:
    """For models loaded with it. What no model holds any more is gone from here, too."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[bytes, Any] = WeakValueDictionary()
        self._lock = threading.Lock()

    def matrix(self, data: NDArray[Any], how: str, make: Callable[[], Matrix]) -> Matrix:
        """The matrix of these bytes, held this way; made if no model has it yet."""
        return self.known(_digest(data, how), make)

    def known(self, key: bytes, make: Callable[[], Matrix]) -> Matrix:
        """The matrix that goes by this key; made if no model has it yet."""
        with self._lock:
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = make()
            return held


def _digest(data: NDArray[Any], how: str) -> bytes:
    digest = hashlib.blake2b(f"{data.shape} {data.dtype} {how}".encode(), digest_size=32)
    digest.update(np.ascontiguousarray(data).view(np.uint8).data)
    return digest.digest()
