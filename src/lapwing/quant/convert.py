"""Float dtypes of files → float dtypes of kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# safetensors spelling → ours
FILE_DTYPES = {"F64": "f64", "F32": "f32", "F16": "f16", "BF16": "bf16"}
# What each dtype can represent without loss, itself included.
_HOLDS = {
    "f32": {"f32", "f16", "bf16"},
    "f16": {"f16"},
    "bf16": {"bf16"},
}

NUMPY_DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16}
STRETCH = 1 << 18  # values converted at a time: temporaries stay small beside a tensor

Array = NDArray[np.generic]


def held_by(stored: str, wanted: str) -> bool:
    """True if weights `stored` this way can be read in place where `wanted` was asked for."""
    return stored in _HOLDS[wanted]


def to_f32(data: Array, dtype: str) -> NDArray[np.float32]:
    """Any float array → float32; bf16 comes as uint16."""
    if dtype == "bf16":
        return (data.astype(np.uint32) << 16).view(np.float32)
    return data.astype(np.float32)


def narrow(data: Array, stored: str, wanted: str) -> tuple[Array, int | None]:
    """`data` as `wanted` (bf16 as uint16), rounded half to even.

    With it the flat index of the first finite value that became infinite, or None.
    """
    flat = data.reshape(-1)
    out = np.empty(flat.size, NUMPY_DTYPES[wanted])
    first_lost = None
    for begin in range(0, flat.size, STRETCH):
        piece = slice(begin, begin + STRETCH)
        out[piece], lost = _narrow(flat[piece], stored, wanted)
        if first_lost is None and lost.any():
            first_lost = begin + int(lost.argmax())
    return out.reshape(data.shape), first_lost


def narrow_turned(data: Array, stored: str, wanted: str) -> tuple[Array, int | None]:
    """As `narrow`, of a matrix [K, N] → [N, K]; no second copy is made on the way."""
    K, N = data.shape
    out = np.empty((N, K), NUMPY_DTYPES[wanted])
    first_lost = None
    rows = max(1, STRETCH // max(1, N))
    for begin in range(0, K, rows):
        piece, lost = narrow(data[begin : begin + rows], stored, wanted)
        out[:, begin : begin + rows] = piece.T
        if first_lost is None and lost is not None:
            first_lost = begin * N + lost
    return out, first_lost


def _narrow(data: Array, stored: str, wanted: str) -> tuple[Array, NDArray[np.bool_]]:
    with np.errstate(over="ignore", invalid="ignore"):
        values = data if stored == "f64" else to_f32(data, stored)
        out: Array
        if wanted == "bf16":
            bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
            rounded = (bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) >> 16
            rounded = np.where(np.isnan(values), np.uint32(0x7FC0), rounded)
            out = rounded.astype(np.uint16)
            infinite = (rounded & 0x7FFF) == 0x7F80
        else:
            out = values.astype(NUMPY_DTYPES[wanted])
            infinite = np.isinf(out)
        return out, infinite & np.isfinite(values)
