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
    with np.errstate(over="ignore", invalid="ignore"):
        values = data if stored == "f64" else to_f32(data, stored)
        if wanted == "f32":
            out: Array = values.astype(np.float32)
            lost = np.isinf(out)
        elif wanted == "f16":
            out = values.astype(np.float16)
            lost = np.isinf(out)
        else:
            bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
            rounded = (bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) >> 16
            rounded = np.where(np.isnan(values), np.uint32(0x7FC0), rounded)
            out = rounded.astype(np.uint16)
            lost = (rounded & 0x7FFF) == 0x7F80
        lost &= np.isfinite(values)
    return out, int(lost.argmax()) if lost.any() else None
