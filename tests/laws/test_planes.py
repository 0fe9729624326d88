"""The plane format: error bounds, exact groups, and one encoding whoever computes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from loading import needs_core

from lapwing import backends
from lapwing.backends.base import BadWeightError
from lapwing.backends.reference import ReferenceBackend
from lapwing.backends.reference_arrays import PlaneMatrix
from lapwing.quant import scheme
from lapwing.quant.convert import narrow, to_f32

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

Floats = npt.NDArray[np.float32]

KINDS = ("normal", "outliers", "constant groups", "sparse", "one sign", "tiny", "huge")


def matrix(kind: str, N: int, K: int, seed: int) -> Floats:
    """Weights [N, K] of one kind."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((N, K)).astype(np.float32) * np.float32(0.1)
    if kind == "outliers":
        w *= np.where(rng.random((N, K)) < 0.02, 50, 1).astype(np.float32)
    elif kind == "constant groups":
        for begin in range(0, K, scheme.GROUP):
            rows = rng.random(N) < 0.5
            w[rows, begin : begin + scheme.GROUP] = rng.choice(np.float32([0, 0.3, -0.7, 1e-3]))
    elif kind == "sparse":
        w *= rng.random((N, K)) < 0.1
    elif kind == "one sign":
        w = np.abs(w) + np.float32(3)
    elif kind == "tiny":
        w *= np.float32(1e-33)
    elif kind == "huge":
        w *= np.float32(1e17)
    return w


some_matrix = st.builds(
    matrix,
    st.sampled_from(KINDS),
    st.integers(1, 40),
    st.integers(1, 150),
    st.integers(0, 2**32 - 1),
)


def scales(planes: scheme.PlaneArrays) -> tuple[Floats, Floats]:
    """s and m of every weight, [N, K], from codes and factors where the layout says they lie."""
    s, m = (np.zeros((planes.N, planes.K), np.float32) for _ in range(2))
    base = planes.base.reshape(-1, scheme.base_stride(planes.K))
    for n in range(planes.N):
        row, lane = divmod(n, scheme.ROWS)
        for g in range(scheme.group_count(planes.K)):
            at = g // 4 * scheme.BLOCK_BYTES + g % 4 * scheme.ROWS + lane
            group = slice(g * scheme.GROUP, (g + 1) * scheme.GROUP)
            s[n, group] = base[row, at] * planes.factors[row, 0]
            m[n, group] = base[row, at + 32].view(np.int8) * planes.factors[row, 1]
    return s, m


@settings(max_examples=25, deadline=None)
@given(some_matrix)
@example(matrix("normal", 9, 129, 1))
def test_error_is_half_a_step_in_range(w: Floats) -> None:
    planes = scheme.encode(w)
    s, m = scales(planes)
    in_range = (w >= m - s / 2) & (w <= m + np.float32(15.5) * s)
    # Rounding of float32 arithmetic on numbers as large as w, m and the cells.
    slack = np.finfo(np.float32).eps * 16 * (np.abs(w) + np.abs(m) + s)
    for precision, step in (("int4", s), ("int8", s / 16)):
        read = scheme.decode(planes, precision)
        assert np.isfinite(read).all()
        assert (np.abs(w - read) <= step / 2 + slack)[in_range].all()


@settings(max_examples=25, deadline=None)
@given(some_matrix)
def test_out_of_range_is_clipped_to_the_nearest_cell(w: Floats) -> None:
    planes = scheme.encode(w)
    s, m = scales(planes)
    slack = np.finfo(np.float32).eps * 16 * (np.abs(w) + np.abs(m) + s)
    read = scheme.decode(planes, "int8")
    below, above = w < m - s / 2, w > m + np.float32(15.5) * s
    assert (np.abs(read - (m - s / 16 * np.float32(7.5))) <= slack)[below & (s > 0)].all()
    assert (np.abs(read - (m + s / 16 * np.float32(247.5))) <= slack)[above & (s > 0)].all()


@settings(max_examples=25, deadline=None)
@given(
    st.floats(2.0**-60, 2.0**56, width=32),
    st.integers(1, 20),
    st.integers(1, 100),
    st.integers(0, 2**32 - 1),
)
def test_constant_and_zero_groups_are_exact(value: float, N: int, K: int, seed: int) -> None:
    """Groups of ±one value and of zero; the value is whatever float32 it may be."""
    rng = np.random.default_rng(seed)
    groups = rng.choice([-1, 0, 1], (N, scheme.group_count(K)))
    w = (np.repeat(groups, scheme.GROUP, axis=1)[:, :K] * value).astype(np.float32)
    planes = scheme.encode(w)
    for precision in ("int4", "int8"):
        np.testing.assert_array_equal(scheme.decode(planes, precision), w)


@settings(max_examples=25, deadline=None)
@given(some_matrix, st.integers(0, 2**32 - 1))
def test_zero_groups_beside_any_others_are_exact(w: Floats, seed: int) -> None:
    rng = np.random.default_rng(seed)
    zero = rng.random((w.shape[0], scheme.group_count(w.shape[1]))) < 0.4
    where = np.repeat(zero, scheme.GROUP, axis=1)[:, : w.shape[1]]
    w = np.where(where, np.float32(0), w)
    planes = scheme.encode(w)
    for precision in ("int4", "int8"):
        assert not scheme.decode(planes, precision)[where].any()


@settings(max_examples=25, deadline=None)
@given(some_matrix)
def test_a_row_group_is_encoded_by_itself(w: Floats) -> None:
    """What stands in other row groups changes no byte: packing may be cut anywhere."""
    whole = scheme.encode(w)
    for begin in range(0, w.shape[0], scheme.ROWS):
        part = scheme.encode(w[begin : begin + scheme.ROWS])
        row = begin // scheme.ROWS
        np.testing.assert_array_equal(part.base[0], whole.base[row])
        np.testing.assert_array_equal(part.factors[0], whole.factors[row])
        assert part.refine is not None
        assert whole.refine is not None
        np.testing.assert_array_equal(part.refine[0], whole.refine[row])


def stored(w: Floats, dtype: str) -> npt.NDArray[Any]:
    """w as a file of that dtype holds it; what does not fit is cut to the largest."""
    if dtype == "f16":
        return np.clip(w, -65504, 65504).astype(np.float16)
    return w if dtype == "f32" else narrow(w, "f32", "bf16")[0]


@needs_core
@settings(max_examples=25, deadline=None)
@given(some_matrix, st.sampled_from(["f32", "f16", "bf16"]), st.booleans())
def test_numpy_and_every_instruction_set_give_the_same_bytes(
    w: Floats, dtype: str, refine: bool
) -> None:
    data = stored(w, dtype)
    turned = np.ascontiguousarray(data.T)
    reference = ReferenceBackend().planes(data, dtype, "nk", refine=refine)
    assert isinstance(reference, PlaneMatrix)
    want = reference.planes
    for isa in backends.available_isas():
        for threads in (1, 2):
            backend = backends.create("cpu", threads, isa)
            for matrix_data, layout in ((data, "nk"), (turned, "kn")):
                got = backend.planes(matrix_data, dtype, layout, refine=refine)
                handle = got.handle
                np.testing.assert_array_equal(handle.base, want.base.ravel())
                np.testing.assert_array_equal(handle.factors, want.factors)
                assert handle.has_refine == refine
                if want.refine is not None:
                    np.testing.assert_array_equal(handle.refine, want.refine.ravel())
                assert (got.base_bytes, got.refine_bytes) == (
                    reference.base_bytes,
                    reference.refine_bytes,
                )
        for precision in ("int4", "int8") if refine else ("int4",):
            # One rounding (a fused multiply-add) here, two there.
            np.testing.assert_allclose(
                handle.decode(precision),
                scheme.decode(want, precision),
                rtol=0,
                atol=float(np.finfo(np.float32).eps * 4 * np.abs(to_f32(data, dtype)).max()),
            )


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 150),
    st.integers(1, 70),
    st.sampled_from(["nan", "inf", "-inf", "1e19", "-3e38"]),
    st.sampled_from(["f32", "bf16"]),
    st.sampled_from(["nk", "kn"]),
    st.data(),
)
def test_every_backend_refuses_what_no_plane_can_hold(
    rows: int, columns: int, bad: str, dtype: str, layout: Any, data: st.DataObject
) -> None:
    """And says where, as the file counts: row and column of the array as stored."""
    at = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    w = matrix("normal", rows, columns, 1)
    w[at] = np.float32(bad)
    made = [backends.create(name, 2) for name in backends.available()]
    for backend in made:
        with pytest.raises(BadWeightError) as caught:
            backend.planes(stored(w, dtype), dtype, layout, refine=True)
        assert (caught.value.row, caught.value.column) == at
        assert not np.isfinite(float(bad)) or abs(caught.value.value) > scheme.LARGEST_WEIGHT
        nonfinite = backend.first_nonfinite(stored(w, dtype), dtype)
        if np.isfinite(np.float32(bad)):
            assert nonfinite is None
        else:
            assert nonfinite == at[0] * columns + at[1]


def test_layout_by_hand() -> None:
    """DESIGN §4: byte j of a row in unit i holds k = 8i + j, and 8i + 4 + j in its high nibble."""
    w = np.zeros((8, 128), np.float32)
    w[5, 32 + 19] = 15  # group 1, unit 2, j = 3, low nibble
    w[5, 32 + 20] = 7.5  # group 1, unit 2, j = 0, high nibble
    planes = scheme.encode(w)
    assert planes.base.shape == (1, 576)
    assert np.flatnonzero(planes.base[0, :64]).tolist() == [1 * 8 + 5]  # m is 0 or not, s is not
    nibbles = planes.base[0, 64:].reshape(4, 4, 8, 4)
    assert nibbles[1, 2, 5, 3] & 15 == 15
    assert nibbles[1, 2, 5, 0] >> 4 in (7, 8)
    assert scheme.plane_bytes(8, 128, refine=False) == 576 + 8
    assert scheme.plane_bytes(9, 129, refine=True) == 2 * (576 + 64 + 128 + 5 * 128 + 8)
