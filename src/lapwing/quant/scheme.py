"""The plane format in NumPy: formula, search and layout (the twin of `native/planes.hpp`).

One byte per weight, u = 16·hi + lo, kept as two planes of nibbles, in groups of 32 along K:

    int8 (both planes)   w ≈ m + s/16·(u − 7.5)
    int4 (base plane)    w ≈ m + s·hi                the centre of the same cell

s = scale code (unsigned byte) × factor, m = centre code (signed byte) × factor, one of each per row
and group; the two float32 factors are shared by 8 rows. In range, |w − w4| ≤ s/2 and
|w − w8| ≤ s/32. The search minimises e4 + 60·e8, the squared errors of the two reads.

Prior work on precisions nested in one set of weights: Any-Precision LLM (arXiv 2402.10517),
Matryoshka Quantization (arXiv 2502.06786); on searching scale and minimum per group: Q4_K of
llama.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS = 8  # rows of a row group
GROUP = 32  # weights that share s and m
BLOCK_GROUPS = 4  # groups of a block
UNIT_BYTES = 32  # 8 rows × 4 bytes: 8 k each
HEADER_BYTES = 64  # scale and centre codes of a block
GROUP_NIBBLE_BYTES = ROWS * GROUP // 2
BLOCK_BYTES = HEADER_BYTES + BLOCK_GROUPS * GROUP_NIBBLE_BYTES

REFINE_WEIGHT = 60.0  # how much a squared error of the int8 read counts beside one of int4
# Below this, factors leave the normal floats and their inverses leave float32.
SMALLEST_FACTOR, SMALLEST_CENTRE = np.float32(1e-30), np.float32(127e-30)
LARGEST_WEIGHT = 1e18  # squared errors beyond this leave float32

FloatMatrix = NDArray[np.float32]
ByteArray = NDArray[np.uint8]


def group_count(K: int) -> int:
    """Groups along K, the last one padded."""
    return -(-K // GROUP)


def row_group_count(N: int) -> int:
    """Row groups of 8, the last one padded."""
    return -(-N // ROWS)


def base_stride(K: int) -> int:
    """Bytes of one row group in the base plane."""
    groups = group_count(K)
    return -(-groups // BLOCK_GROUPS) * HEADER_BYTES + groups * GROUP_NIBBLE_BYTES


def refine_stride(K: int) -> int:
    """Bytes of one row group in the refine plane."""
    return group_count(K) * GROUP_NIBBLE_BYTES


def plane_bytes(N: int, K: int, *, refine: bool) -> int:
    """Bytes a matrix [N, K] takes: base plane, factors, and the refine plane if it is kept."""
    each = base_stride(K) + 8 + (refine_stride(K) if refine else 0)
    return row_group_count(N) * each


@dataclass(frozen=True)
class PlaneArrays:
    """A quantized matrix [N, K] in the layout of `native/planes.hpp`."""

    N: int
    K: int
    base: ByteArray  # [row groups, base_stride(K)]
    refine: ByteArray | None  # [row groups, refine_stride(K)]
    factors: FloatMatrix  # [row groups, 2]: of s, of m

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        refine = 0 if self.refine is None else self.refine.nbytes
        return self.base.nbytes + refine + self.factors.nbytes


@dataclass(frozen=True)
class GroupCodes:
    """What the search found: scale and centre codes [R, 8, G], u [R, 8, G, 32]."""

    scale: NDArray[np.float32]
    centre: NDArray[np.float32]
    u: NDArray[np.float32]


def find_bad_weight(w: NDArray[np.floating]) -> tuple[int, int] | None:
    """Row and column of the first weight no plane can hold: not finite, or above 1e18."""
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(w) <= LARGEST_WEIGHT)
    if not bad.any():
        return None
    row, column = np.unravel_index(int(bad.argmax()), w.shape)
    return int(row), int(column)


def encode(w: FloatMatrix, *, refine: bool = True) -> PlaneArrays:
    """Quantizes w [N, K], finite; the same bytes as the compiled core gives."""
    N, K = w.shape
    row_groups, groups = row_group_count(N), group_count(K)
    padded = np.zeros((row_groups * ROWS, groups * GROUP), np.float32)
    padded[:N, :K] = w
    if K % GROUP and K:
        padded[:N, K:] = w[:, -1:]  # padding must not widen the range of its group
    base = np.zeros((row_groups, base_stride(K)), np.uint8)
    low = np.zeros((row_groups, refine_stride(K)), np.uint8) if refine else None
    factors = np.zeros((row_groups, 2), np.float32)
    # [row groups, 8, G, 32], a stretch at a time so that the search stays in cache
    blocks = padded.reshape(row_groups, ROWS, groups, GROUP)
    stretch = max(1, 4096 // max(1, ROWS * groups))
    for begin in range(0, row_groups, stretch):
        end = min(row_groups, begin + stretch)
        live = np.arange(begin * ROWS, end * ROWS).reshape(-1, ROWS) < N
        factors[begin:end] = _factors(blocks[begin:end], live)
        codes = _search(blocks[begin:end], factors[begin:end])
        _store(codes, base[begin:end], None if low is None else low[begin:end])
    return PlaneArrays(N, K, base, low, factors)


def decode(planes: PlaneArrays, precision: str) -> FloatMatrix:
    """The matrix [N, K] as `int4` or `int8` reads it."""
    groups = group_count(planes.K)
    scale, centre, hi = _load_base(planes, groups)
    s = scale * planes.factors[:, 0, None, None]  # [row groups, 8, G]
    m = centre * planes.factors[:, 1, None, None]
    if precision == "int4":
        w = s[..., None] * hi + m[..., None]
    elif planes.refine is None:
        raise ValueError("int8 needs both planes; only the base plane is held")
    else:
        u = 16 * hi + _split_nibbles(planes.refine.reshape(-1, groups, GROUP_NIBBLE_BYTES))
        w = (s / 16)[..., None] * (u - np.float32(7.5)) + m[..., None]
    return np.ascontiguousarray(
        w.reshape(-1, groups * GROUP)[: planes.N, : planes.K], dtype=np.float32
    )


def _factors(w: FloatMatrix, live: NDArray[np.bool_]) -> FloatMatrix:
    """[row groups, 2] from w [row groups, 8, G, 32]."""
    lo, hi = w.min(-1), w.max(-1)
    widest = np.where(live[..., None], hi - lo, 0).max((1, 2))
    # 1.08: room for the search to try scales wider than the range.
    scale = widest / np.float32(15) * np.float32(1.08) / np.float32(255)
    scale = np.maximum(scale, SMALLEST_FACTOR)
    largest = np.where(live[..., None], np.abs(lo), 0).max((1, 2))
    centre = np.empty_like(largest)
    constant = live[..., None] & (lo == hi) & (lo != 0)
    for i, far in enumerate(largest):
        centre[i] = _centre_factor(far, lo[i][constant[i]])
    return np.stack([scale, centre], axis=1).astype(np.float32)


def _centre_factor(largest: np.float32, constants: NDArray[np.float32]) -> np.float32:
    """Reaches the lowest centre; hits groups of one single value exactly if it can."""
    best = largest / np.float32(127)
    if largest < SMALLEST_CENTRE:
        return np.float32(0)
    if constants.size == 0:
        return np.float32(best)
    best_hits = 0
    for steps in range(127, 63, -1):
        if best_hits == constants.size:
            break
        quotient = largest / np.float32(steps)
        for factor in (
            quotient,
            np.nextafter(quotient, np.float32(0)),
            np.nextafter(quotient, np.float32(3.4e38)),
        ):
            if factor * np.float32(127) < largest and factor * np.float32(steps) != largest:
                continue
            hits = int((np.rint(constants / factor) * factor == constants).sum())
            if hits > best_hits:
                best, best_hits = factor, hits
    return np.float32(best)


def _sum32(x: FloatMatrix) -> FloatMatrix:
    """Sum over the last axis (32) in ascending order, as the compiled core adds."""
    total = np.zeros(x.shape[:-1], np.float32)
    for k in range(GROUP):
        total += x[..., k]
    return total


# A group of one value among others of one value has scales of almost 0; it is set by hand below.
@np.errstate(over="ignore", invalid="ignore")
def _search(w: FloatMatrix, factors: FloatMatrix) -> GroupCodes:
    """Codes for w [row groups, 8, G, 32]; every step in float32 and in the core's order."""
    one, seven_half, sixteenth = np.float32(1), np.float32(7.5), np.float32(1 / 16)
    factor = factors[:, 0, None, None]
    offset_factor = factors[:, 1, None, None]
    inverse_factor = one / factor
    inverse_offset = np.where(
        offset_factor > 0, one / np.where(offset_factor > 0, offset_factor, one), np.float32(0)
    )
    lo, hi = w.min(-1), w.max(-1)
    centre, half = (hi + lo) * np.float32(0.5), (hi - lo) * np.float32(0.5)
    v = w - centre[..., None]
    v_sum = _sum32(v)
    mean = np.float32(1 / GROUP)

    def place(scale_code: FloatMatrix, centre_code: FloatMatrix) -> tuple[FloatMatrix, ...]:
        s16 = scale_code * factor * sixteenth
        mc = centre_code * offset_factor - centre
        inverse16 = np.divide(one, s16, out=np.zeros_like(s16), where=s16 > 0)
        x = (v - mc[..., None]) * inverse16[..., None]
        shifted = x + seven_half
        u = np.clip(np.rint(shifted), np.float32(0), np.float32(255))
        return s16, x, shifted, u

    best_cost = np.full(half.shape, np.inf, np.float32)
    best_scale, best_centre = np.zeros_like(half), np.zeros_like(half)
    for step in range(13):
        width = half * (np.float32(0.78) + np.float32(0.02) * np.float32(step))
        s, m = width * np.float32(2 / 15), centre - width
        for _ in range(3):
            scale_code = np.clip(np.rint(s * inverse_factor), np.float32(1), np.float32(255))
            centre_code = np.clip(np.rint(m * inverse_offset), np.float32(-127), np.float32(127))
            s16, x, shifted, u = place(scale_code, centre_code)
            q = np.floor(u * sixteenth)
            r4, r8 = x - q * np.float32(16), shifted - u
            cost = _sum32(r4 * r4) + np.float32(REFINE_WEIGHT) * _sum32(r8 * r8)
            cost = cost * s16 * s16
            better = cost < best_cost
            best_cost = np.where(better, cost, best_cost)
            best_scale = np.where(better, scale_code, best_scale)
            best_centre = np.where(better, centre_code, best_centre)
            # Least squares of w − centre on the int4 codes.
            q_sum = _sum32(q)
            q_mean, v_mean = q_sum * mean, v_sum * mean
            variance = np.maximum(_sum32(q * q) - q_mean * q_sum, np.float32(1e-9))
            s = (_sum32(q * v) - q_mean * v_sum) / variance
            m = centre + (v_mean - s * q_mean)
    # A group of one value has no scale: both reads are its centre.
    only = np.clip(np.rint(centre * inverse_offset), np.float32(-127), np.float32(127))
    best_scale = np.where(half == 0, np.float32(0), best_scale)
    best_centre = np.where(half == 0, only, best_centre)
    return GroupCodes(best_scale, best_centre, place(best_scale, best_centre)[3])


def _join_nibbles(codes: NDArray[np.uint8]) -> ByteArray:
    """[R, 8, G, 32] nibbles → [R, G, 128]: byte j of unit i holds k = 8i + j and 8i + 4 + j."""
    R, _, G, _ = codes.shape
    units = codes.reshape(R, ROWS, G, 4, 2, 4)  # [R, row, G, unit, low|high, j]
    joined = units[..., 0, :] | (units[..., 1, :] << np.uint8(4))
    return joined.transpose(0, 2, 3, 1, 4).reshape(R, G, GROUP_NIBBLE_BYTES)


def _split_nibbles(nibbles: ByteArray) -> NDArray[np.float32]:
    """[R, G, 128] bytes → [R, 8, G, 32] codes: the inverse of `_join_nibbles`."""
    R, G, _ = nibbles.shape
    units = nibbles.reshape(R, G, 4, ROWS, 4)
    codes = np.stack([units & 15, units >> 4], axis=4)  # [R, G, unit, row, low|high, j]
    return codes.transpose(0, 3, 1, 2, 4, 5).reshape(R, ROWS, G, GROUP).astype(np.float32)


def _store(codes: GroupCodes, base: ByteArray, refine: ByteArray | None) -> None:
    u = codes.u.astype(np.uint8)
    R, _, G, _ = u.shape
    high = _join_nibbles(u >> np.uint8(4))
    scale = codes.scale.astype(np.uint8).transpose(0, 2, 1)  # [R, G, 8]
    centre = codes.centre.astype(np.int8).view(np.uint8).transpose(0, 2, 1)
    for first in range(0, G, BLOCK_GROUPS):
        count = min(BLOCK_GROUPS, G - first)
        at = first // BLOCK_GROUPS * BLOCK_BYTES
        take = slice(first, first + count)
        base[:, at : at + ROWS * count] = scale[:, take].reshape(R, -1)
        base[:, at + 32 : at + 32 + ROWS * count] = centre[:, take].reshape(R, -1)
        body = at + HEADER_BYTES
        base[:, body : body + count * GROUP_NIBBLE_BYTES] = high[:, take].reshape(R, -1)
    if refine is not None:
        refine[:] = _join_nibbles(u & np.uint8(15)).reshape(R, -1)


def _load_base(planes: PlaneArrays, groups: int) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix]:
    """Scale and centre codes [R, 8, G] and high nibbles [R, 8, G, 32]."""
    base = planes.base.reshape(row_group_count(planes.N), base_stride(planes.K))
    R = base.shape[0]
    scale = np.empty((R, groups, ROWS), np.uint8)
    centre = np.empty((R, groups, ROWS), np.int8)
    high = np.empty((R, groups, GROUP_NIBBLE_BYTES), np.uint8)
    for first in range(0, groups, BLOCK_GROUPS):
        count = min(BLOCK_GROUPS, groups - first)
        at = first // BLOCK_GROUPS * BLOCK_BYTES
        take = slice(first, first + count)
        scale[:, take] = base[:, at : at + ROWS * count].reshape(R, count, ROWS)
        codes = base[:, at + 32 : at + 32 + ROWS * count]
        centre[:, take] = codes.view(np.int8).reshape(R, count, ROWS)
        body = at + HEADER_BYTES
        nibbles = base[:, body : body + count * GROUP_NIBBLE_BYTES]
        high[:, take] = nibbles.reshape(R, count, GROUP_NIBBLE_BYTES)
    return (
        scale.transpose(0, 2, 1).astype(np.float32),
        centre.transpose(0, 2, 1).astype(np.float32),
        _split_nibbles(high),
    )
