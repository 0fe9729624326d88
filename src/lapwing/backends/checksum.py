"""CRC-32C (Castagnoli; RFC 3720 B.4), by the compiled core, or by NumPy where there is none."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapwing import backends

Bytes = NDArray[np.uint8]
POLYNOMIAL = 0x82F63B78  # reflected
LANES = 4096  # stretches of a buffer that NumPy takes side by side


def crc32c(data: bytes | Bytes, value: int = 0) -> int:
    """Of bytes that follow those `value` is of; 0 at the beginning."""
    array: Bytes = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    if "cpu" in backends.available():
        from lapwing import _native

        return _native.crc32c(array, value)
    return crc32c_numpy(array, value)


def crc_of(array: NDArray[Any]) -> int:
    """Of an array's bytes, in order."""
    return crc32c(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def crc32c_numpy(data: Bytes, value: int = 0) -> int:
    """As `crc32c`: long buffers in lanes, a byte of each at a time, joined at the end.

    Moving a CRC over zeros is linear in its bits, so the CRC of two pieces is that of the first,
    moved over the length of the second, xor that of the second.
    """
    table = _table()
    length = len(data) // LANES
    if length < 64:
        state = value ^ 0xFFFFFFFF
        for byte in data.tolist():
            state = (state >> 8) ^ int(table[(state ^ byte) & 255])
        return state ^ 0xFFFFFFFF
    states = np.zeros(LANES, np.uint32)  # without the customary inversions: these are linear
    states[0] = value ^ 0xFFFFFFFF
    for column in data[: length * LANES].reshape(LANES, length).T:
        states = (states >> np.uint32(8)) ^ table[(states ^ column) & np.uint32(255)]
    move = _zeros(length)
    joined = 0
    for state in states.tolist():
        joined = _times(move, joined) ^ state
    return crc32c_numpy(data[length * LANES :], joined ^ 0xFFFFFFFF)


@cache
def _table() -> NDArray[np.uint32]:
    """What a byte does to the value."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(
            table & np.uint32(1), np.uint32(POLYNOMIAL), np.uint32(0)
        )
    return table


def _times(matrix: list[int], vector: int) -> int:
    """A matrix over bits, as 32 columns, times 32 bits."""
    product = 0
    while vector:
        low = vector & -vector
        product ^= matrix[low.bit_length() - 1]
        vector ^= low
    return product


@cache
def _zeros(count: int) -> list[int]:
    """The matrix that moves a value over `count` zero bytes, by squaring."""
    table = _table()
    power = [(1 << bit) >> 8 ^ int(table[(1 << bit) & 255]) for bit in range(32)]
    result = [1 << bit for bit in range(32)]
    while count:
        if count & 1:
            result = [_times(power, column) for column in result]
        power = [_times(power, column) for column in power]
        count >>= 1
    return result
