"""Float dtypes: rounding by hand, and what does not fit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapwing.quant.convert import STRETCH, held_by, narrow, to_f32


def bf16(value: float) -> int:
    out, lost = narrow(np.array([value], np.float32), "f32", "bf16")
    assert out.dtype == np.uint16
    assert lost is None
    return int(out[0])


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (0.0, 0x0000),
        (-0.0, 0x8000),
        (1.0, 0x3F80),
        (-2.0, 0xC000),
        (1 + 2**-7, 0x3F81),  # one unit in the last place of bfloat16
        (1 + 2**-8, 0x3F80),  # half way: to even, down
        (1 + 3 * 2**-8, 0x3F82),  # half way: to even, up
        (1 + 2**-8 + 2**-20, 0x3F81),  # beyond half way
        (1 + 3 * 2**-8 - 2**-20, 0x3F81),
        (2 - 2**-20, 0x4000),  # carries into the exponent
        (3.3895313892515355e38, 0x7F7F),  # the largest
        (2**-133, 0x0001),  # the smallest
        (2**-134, 0x0000),
        (3 * 2**-134, 0x0002),
    ],
)
def test_bf16_rounds_half_to_even(value: float, bits: int) -> None:
    assert bf16(value) == bits


@given(st.integers(0, 0xFFFF))
def test_bf16_and_back(bits: int) -> None:
    stored = np.array([bits], np.uint16)
    wide = to_f32(stored, "bf16")
    assert wide.dtype == np.float32
    if np.isnan(wide[0]):
        assert np.isnan(to_f32(narrow(wide, "f32", "bf16")[0], "bf16")[0])
    else:
        assert narrow(wide, "f32", "bf16")[0][0] == bits


@given(st.floats(-(2.0**126), 2.0**126, width=32))
def test_bf16_is_the_nearest(value: float) -> None:
    got = float(to_f32(np.array([bf16(value)], np.uint16), "bf16")[0])
    step = 2.0 ** max(np.frexp(value)[1] - 8, -133)
    assert abs(got - value) <= step / 2


@pytest.mark.parametrize(
    ("stored", "wanted", "values", "lost"),
    [
        ("f32", "f16", [1, 65504, 65519.99, -65519.99], None),
        ("f32", "f16", [1, 65520, 1e9], 1),
        ("f32", "f16", [1, 2, -1e9], 2),
        ("f32", "bf16", [3.39e38, 3.4e38], 1),
        ("f64", "f32", [3.4e38, -1e39], 1),
        ("f64", "f32", [1e-60, 3.4e38], None),  # to 0 is rounding, not overflow
        ("f32", "f16", [np.inf, np.nan, -np.inf], None),  # was not finite before
    ],
)
def test_overflow_is_found(stored: str, wanted: str, values: list[float], lost: int | None) -> None:
    data = np.array(values, {"f32": np.float32, "f64": np.float64}[stored])
    assert narrow(data, stored, wanted)[1] == lost


def test_overflow_index_is_flat() -> None:
    data = np.zeros((3, 5), np.float32)
    data[1, 4] = 1e6
    data[2, 0] = 1e6
    out, lost = narrow(data, "f32", "f16")
    assert lost == 9
    assert out.shape == (3, 5)


def test_a_long_array_is_converted_in_stretches() -> None:
    data = np.arange(2 * STRETCH + 3, dtype=np.float32) % 1000
    out, lost = narrow(data, "f32", "f16")
    assert lost is None
    np.testing.assert_array_equal(out, data)
    data[STRETCH + 7] = data[-1] = 1e9
    assert narrow(data.reshape(-1, 1), "f32", "f16")[1] == STRETCH + 7
    assert narrow(np.empty((0, 3), np.float32), "f32", "bf16")[0].shape == (0, 3)


def test_not_numbers_stay_what_they_are() -> None:
    data = np.array([np.nan, -np.nan, np.inf, -np.inf], np.float32)
    data[1:2].view(np.uint32)[0] = 0xFFFFFFFF  # a NaN whose rounding would overflow
    for wanted in ("f16", "bf16"):
        wide = to_f32(narrow(data, "f32", wanted)[0], wanted)
        assert np.isnan(wide[:2]).all()
        assert wide[2:].tolist() == [np.inf, -np.inf]


def test_f16_to_f32_is_exact() -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
    np.testing.assert_array_equal(narrow(halves, "f16", "f32")[0], halves.astype(np.float64))


def test_what_is_read_in_place() -> None:
    """A wider dtype holds a narrower one without loss; f16 and bf16 do not hold each other."""
    held = {
        (stored, wanted)
        for stored, wanted in itertools.product(("f32", "f16", "bf16"), repeat=2)
        if held_by(stored, wanted)
    }
    same = {("f32", "f32"), ("f16", "f16"), ("bf16", "bf16")}
    assert held == same | {("f16", "f32"), ("bf16", "f32")}
