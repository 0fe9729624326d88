"""CRC-32C in C++ and in NumPy: published values, and one the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import needs_core
from numpy.typing import NDArray

from lapwing import backends
from lapwing.backends import checksum
from lapwing.backends.checksum import LANES, crc32c, crc32c_numpy, crc_of

Bytes = NDArray[np.uint8]
CRC = Callable[[Bytes, int], int]

# RFC 3720, B.4; the last one is the check value of the catalogue of CRC algorithms.
PUBLISHED = {
    "zeros": (bytes(32), 0x8A9136AA),
    "ones": (b"\xff" * 32, 0x62A8AB43),
    "up": (bytes(range(32)), 0x46DD794E),
    "down": (bytes(range(31, -1, -1)), 0x113FDB5C),
    "an iSCSI command": (
        bytes.fromhex(
            "01c00000000000000000000000000000140000000000040000000014000000182800000000000000"
            "0200000000000000"
        ),
        0xD9963A56,
    ),
    "digits": (b"123456789", 0xE3069283),
    "nothing": (b"", 0),
}
BOTH = [
    pytest.param(crc32c, id="compiled", marks=needs_core),
    pytest.param(crc32c_numpy, id="numpy"),
]


def bytes_of(seed: int, length: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, length, np.uint8)


@pytest.mark.parametrize("crc", BOTH)
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_values(crc: CRC, name: str) -> None:
    data, expected = PUBLISHED[name]
    assert crc(np.frombuffer(data, np.uint8), 0) == expected


@needs_core
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    length=st.one_of(
        st.integers(0, 300),
        st.integers(60, 70).map(lambda stretch: stretch * LANES - 3),  # around where lanes begin
        st.integers(0, 1_000_000),
    ),
    offset=st.integers(0, 17),
    begun=st.integers(0, 2**32 - 1),
)
def test_both_agree(seed: int, length: int, offset: int, begun: int) -> None:
    """At any alignment, and from any value on."""
    data = bytes_of(seed, length + offset)[offset:]
    assert crc32c(data, begun) == crc32c_numpy(data, begun)


@pytest.mark.parametrize("crc", BOTH)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(0, 600_000), max_size=4),
)
def test_pieces_make_the_whole(crc: CRC, seed: int, cuts: list[int]) -> None:
    data = bytes_of(seed, 600_000)
    begin, value = 0, 0
    for end in [*sorted(cuts), len(data)]:
        value = crc(data[begin:end], value)
        begin = end
    assert value == crc(data, 0)


def test_without_a_core_numpy_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(data: Bytes, value: int = 0) -> int:
        asked.append(len(data))
        return crc32c_numpy(data, value)

    monkeypatch.setattr(checksum, "crc32c_numpy", counted)
    monkeypatch.setattr(backends, "available", lambda: ("reference",))
    assert crc32c(b"123456789") == 0xE3069283
    assert asked == [9]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(24, dtype=np.uint8)[::2],
        np.zeros((0, 4), np.uint16),
        np.array(2.5, np.float32),
    ],
    ids=["rows", "columns", "every other", "empty", "scalar"],
)
def test_an_array_is_its_bytes_in_order(array: NDArray[Any]) -> None:
    assert crc_of(array) == crc32c(array.tobytes())
