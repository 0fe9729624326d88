"""One number at every precision, worked by hand."""

from __future__ import annotations

import math

import pytest

from lapwing import RequestError
from lapwing.quant.explain import explain


def test_pi_between_minus_four_and_four() -> None:
    """s = 8/15, m = −4: u = round((π + 4)·16·15/8 + 7.5) = round(221.75) = 222 = 16·13 + 14."""
    f32, f16, bf16, int8, int4 = explain(3.14159265, -4, 4)
    assert (f32.dtype, f32.bits, f32.code) == ("f32", 32, "0x40490fdb")
    assert f32.value == 13176795 / 2**22
    assert (f16.bits, f16.code, f16.value) == (16, "0x4248", 201 / 64)
    assert (bf16.bits, bf16.code, bf16.value) == (16, "0x4049", 201 / 64)
    assert (int8.bits, int8.code) == (8.5, "u = 222 = 16·13 + 14")
    assert int8.value == pytest.approx(-4 + (222 - 7.5) / 30)  # 3.15
    assert (int4.bits, int4.code) == (4.5, "hi = 13")
    assert int4.value == pytest.approx(-4 + 13 * 8 / 15)  # 2.9333
    for reading in (f32, f16, bf16, int8, int4):
        assert reading.error == reading.value - 3.14159265
    assert abs(int8.error) <= 8 / 15 / 32
    assert abs(int4.error) <= 8 / 15 / 2


@pytest.mark.parametrize(
    ("value", "hi", "u"), [(-100, 0, 0), (100, 15, 255), (-4, 0, 8), (4, 15, 248)]
)
def test_out_of_range_is_clipped(value: float, hi: int, u: int) -> None:
    *_, int8, int4 = explain(value, -4, 4)
    assert int8.code == f"u = {u} = 16·{u >> 4} + {u & 15}"
    assert int4.code == f"hi = {hi}"


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(math.nan, 0, 1), (0, math.inf, 1), (0, 0, math.inf), (0, 1, 1), (0, 2, 1)],
)
def test_refused(value: float, low: float, high: float) -> None:
    with pytest.raises(RequestError, match=f"LOW < HIGH; got value {value}, range {low} {high}"):
        explain(value, low, high)


def test_values_beyond_a_dtype() -> None:
    f32, f16, bf16, *_ = explain(1e39, -1, 1)
    assert (f32.value, f16.value, bf16.value) == (math.inf,) * 3
