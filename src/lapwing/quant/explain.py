"""One number at every precision: what is stored, what is read back, how far off it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lapwing.errors import RequestError
from lapwing.quant.convert import narrow


@dataclass(frozen=True)
class Reading:
    """A value as one dtype holds it."""

    dtype: str
    bits: float  # stored per weight, scales included for groups of 32 in rows of infinite length
    code: str
    value: float
    error: float


def explain(value: float, low: float, high: float) -> list[Reading]:
    """Readings of `value` at f32, f16, bf16, int8 and int4.

    For the integers it stands in a group whose weights span [low, high]: s = (high − low)/15,
    m = low. Values outside the span are clipped to it, as they are in a group.
    """
    if not (np.isfinite([value, low, high]).all() and low < high):
        raise RequestError(
            f"explain-quant: expected finite numbers with LOW < HIGH; got value {value}, "
            f"range {low} {high}"
        )
    exact = np.array([value], np.float64)
    with np.errstate(over="ignore"):  # beyond its range a float reads infinity
        f32 = exact.astype(np.float32)
    f16, _ = narrow(exact, "f64", "f16")
    bf16, _ = narrow(f32, "f32", "bf16")
    bf16_value = (bf16.astype(np.uint32) << 16).view(np.float32)
    readings = [
        Reading("f32", 32, f"0x{f32.view(np.uint32)[0]:08x}", float(f32[0]), 0),
        Reading("f16", 16, f"0x{f16.view(np.uint16)[0]:04x}", float(f16[0]), 0),
        Reading("bf16", 16, f"0x{int(bf16[0]):04x}", float(bf16_value[0]), 0),
    ]
    s, m = (high - low) / 15, low
    u = int(np.clip(np.rint((value - m) * 16 / s + 7.5), 0, 255))
    readings += [
        Reading("int8", 8.5, f"u = {u} = 16·{u >> 4} + {u & 15}", m + s / 16 * (u - 7.5), 0),
        Reading("int4", 4.5, f"hi = {u >> 4}", m + s * (u >> 4), 0),
    ]
    return [Reading(r.dtype, r.bits, r.code, r.value, r.value - value) for r in readings]
