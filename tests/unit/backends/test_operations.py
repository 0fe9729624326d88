"""Single operations of every backend: shapes, refusals, and small cases worked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from loading import needs_core
from tolerances import FLOAT_LOGITS

from lapwing import backends
from lapwing.backends.base import ACTIVATIONS, Backend

RTOL = FLOAT_LOGITS["f32"]
Floats = npt.NDArray[np.float32]


@pytest.fixture(params=backends.available())
def backend(request: pytest.FixtureRequest) -> Backend:
    return backends.create(request.param, 2)


def f32(*values: Any) -> Floats:
    return np.array(values, np.float32)


def test_linear_by_hand(backend: Backend) -> None:
    """[1, 2]·[[1, 2], [3, 4], [5, 6]]ᵀ = [5, 11, 17]; both layouts of the same matrix."""
    w = f32([1, 2], [3, 4], [5, 6])
    x = f32([1, 2], [0, -1])
    for matrix in (
        backend.dense(w, "f32", "nk"),
        backend.dense(np.ascontiguousarray(w.T), "f32", "kn"),
    ):
        assert (matrix.N, matrix.K) == (3, 2)
        out = backend.linear(x, matrix, precision="f32")
        assert out.tolist() == [[5, 11, 17], [-2, -4, -6]]
        out = backend.linear(
            x,
            matrix,
            precision="f32",
            bias=f32(-6, -6, -6),
            activation="relu",
            residual=f32([1, 1, 1], [2, 2, 2]),
        )
        assert out.tolist() == [[1, 6, 12], [2, 2, 2]]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(backend: Backend, activation: str) -> None:
    x = np.linspace(-6, 6, 49)
    root = math.sqrt(2 / math.pi)
    want = {
        "relu": lambda v: max(v, 0.0),
        "silu": lambda v: v / (1 + math.exp(-v)),
        "tanh": math.tanh,
        "gelu": lambda v: v / 2 * (1 + math.erf(v / math.sqrt(2))),
        "gelu_tanh": lambda v: v / 2 * (1 + math.tanh(root * (v + 0.044715 * v**3))),
    }[activation]
    matrix = backend.dense(f32([1]), "f32", "nk")
    got = backend.linear(
        x.astype(np.float32)[:, None], matrix, precision="f32", activation=activation
    )
    np.testing.assert_allclose(got[:, 0], [want(v) for v in x], rtol=0, atol=RTOL / 50)


def test_unknown_activation(backend: Backend) -> None:
    matrix = backend.dense(f32([1]), "f32", "nk")
    with pytest.raises(ValueError, match="'selu'"):
        backend.linear(f32([1]), matrix, precision="f32", activation="selu")


def test_layer_norm_by_hand(backend: Backend) -> None:
    """Mean 3, variance 4: (1 − 3)/2 = −1 and (5 − 3)/2 = 1."""
    out = backend.layer_norm(f32([1, 5, 1, 5]), f32(1, 1, 2, 2), f32(0, 0, 1, 1), 0.0)
    np.testing.assert_allclose(out, [[-1, 1, -1, 3]], rtol=RTOL)


def test_embed(backend: Backend) -> None:
    table = f32([1, 2], [3, 4], [5, 6])
    positions = f32([10, 20], [30, 40])
    ids, at = np.array([2, 0, 2]), np.array([0, 1, 1])
    made = backend.dense(table, "f32", "nk"), backend.dense(positions, "f32", "nk")
    assert backend.embed(made, [ids, at]).tolist() == [[15, 26], [31, 42], [35, 46]]
    assert backend.embed(made[:1], [ids]).tolist() == [[5, 6], [1, 2], [5, 6]]


def test_attention_by_hand(backend: Backend) -> None:
    """One head of 1. Query 0 sees one value; with equal keys, query 1 sees the mean of two.

    With keys 0 and ln 3 and a query of 1 the weights are 1/4 and 3/4.
    """
    store = backend.kv_store(1, 1, 1, 4, "f32")
    qkv = f32([1, 0, 8], [1, 0, 4])
    out = backend.attend(qkv, [store], [2], layer=0, n_heads=1, scale=1.0)
    np.testing.assert_allclose(out, [[8], [6]], rtol=RTOL)
    assert store.length == 0  # moves by advance only
    store.advance(1)
    out = backend.attend(f32([1, math.log(3), 4]), [store], [1], layer=0, n_heads=1, scale=1.0)
    np.testing.assert_allclose(out, [[8 / 4 + 4 * 3 / 4]], rtol=RTOL)


def test_grouped_heads(backend: Backend) -> None:
    """Four queries on two key/value heads: the first two read the first."""
    store = backend.kv_store(1, 2, 1, 3, "f32")
    qkv = f32([1, 1, 1, 1, 0, 0, 5, 7])
    out = backend.attend(qkv, [store], [1], layer=0, n_heads=4, scale=1.0)
    np.testing.assert_allclose(out, [[5, 5, 7, 7]], rtol=RTOL)


def test_the_cache_stores_halves(backend: Backend) -> None:
    store = backend.kv_store(1, 1, 1, 3, "f16")
    out = backend.attend(f32([0, 0, 1 + 2**-12]), [store], [1], layer=0, n_heads=1, scale=1.0)
    assert out.tolist() == [[1.0]]
    with pytest.raises(IndexError, match="0 \\+ 4 positions exceed its capacity of 3"):
        backend.attend(f32(*[[0, 0, 0]] * 4), [store], [4], layer=0, n_heads=1, scale=1.0)
    store.advance(3)
    with pytest.raises(IndexError, match="full"):
        store.advance(1)
    with pytest.raises(IndexError, match="cannot truncate to 4 positions: the cache holds 3"):
        store.truncate(4)


def test_narrow_codes_by_hand(backend: Backend) -> None:
    """Int8 multiplies what its codes make of the activations.

    The largest sum of four is that of k = 0, 1, 4, 5: 3 + 1 + 1 + 1.3 = 6.3, so a step is 0.05;
    full codes have 3/127. What lies in other fours (2, and 1 in another group) counts for less.
    """
    x = np.zeros((1, 64), np.float32)
    x[0, [0, 1, 4, 5, 2, 40]] = 3, -1, 1, 1.3, 0.52, 1
    w = np.random.default_rng(5).standard_normal((24, 64)).astype(np.float32)
    matrix = backend.planes(w, "f32", "nk", refine=True)
    as_read = backend.linear(np.eye(64, dtype=np.float32), matrix, precision="int8")  # [K, N]
    full = np.rint(x * 127 / 3) * 3 / 127
    full[0, 40] = 1  # alone in its group
    in_fives = x.copy()
    in_fives[0, 2] = 0.5
    for narrow, want in ((False, full), (True, in_fives)):
        backend.narrow_codes = narrow
        got = backend.linear(x, matrix, precision="int8")
        np.testing.assert_allclose(got, want @ as_read, rtol=RTOL, atol=RTOL)


def test_narrow_codes_are_of_int8_alone(backend: Backend) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((9, 96)).astype(np.float32)
    w = backend.planes(rng.standard_normal((24, 96)).astype(np.float32), "f32", "nk", refine=True)
    outs = {}
    for narrow in (False, True):
        backend.narrow_codes = narrow
        outs[narrow] = {p: backend.linear(x, w, precision=p).tolist() for p in ("int8", "int4")}
    assert outs[False]["int4"] == outs[True]["int4"]
    assert outs[False]["int8"] != outs[True]["int8"]


@needs_core
@pytest.mark.parametrize("T", [1, 5, 6, 13])
def test_narrow_codes_of_the_core_are_the_references(T: int) -> None:
    rng = np.random.default_rng(T)
    w = rng.standard_normal((40, 200)).astype(np.float32)
    x = (rng.standard_normal((T, 200)) * rng.lognormal(0, 2, (T, 200))).astype(np.float32)
    outs = []
    for name in ("cpu", "reference"):
        backend = backends.create(name, 2)
        backend.narrow_codes = True
        matrix = backend.planes(w, "f32", "nk", refine=True)
        outs.append(backend.linear(x, matrix, precision="int8"))
    np.testing.assert_allclose(*outs, rtol=RTOL, atol=RTOL * np.abs(outs[1]).max())


def test_planes_need_the_plane_that_is_read(backend: Backend) -> None:
    w = np.random.default_rng(0).standard_normal((5, 40)).astype(np.float32)
    base = backend.planes(w, "f32", "nk", refine=False)
    x = np.ones((2, 40), np.float32)
    assert backend.linear(x, base, precision="int4").shape == (2, 5)
    with pytest.raises(ValueError, match="int8 needs both planes; only the base plane is held"):
        backend.linear(x, base, precision="int8")
    assert base.refine_bytes == 0


@needs_core
def test_shapes_are_checked_before_memory_is_read() -> None:
    """The compiled core trusts nobody."""
    from lapwing import _native

    cpu = backends.create("cpu", 1)
    dense = cpu.dense(np.ones((3, 4), np.float32), "f32", "nk")
    planes = cpu.planes(np.ones((3, 4), np.float32), "f32", "nk", refine=True)
    for matrix in (dense, planes):
        for x in (np.ones((2, 3), np.float32), np.ones((2, 5), np.float32)):
            with pytest.raises(ValueError, match="columns of x: expected 4"):
                cpu.linear(x, matrix, precision="int8")
        x = np.ones((2, 4), np.float32)
        with pytest.raises(ValueError, match="bias: expected 3, got 4"):
            cpu.linear(x, matrix, precision="int8", bias=np.ones(4, np.float32))
        with pytest.raises(ValueError, match="residual rows: expected 2, got 1"):
            cpu.linear(x, matrix, precision="int8", residual=np.ones((1, 3), np.float32))
        for bad in (3, -1, 2**62):
            with pytest.raises(IndexError, match=f"id {bad} is outside"):
                cpu.embed([matrix], [np.array([0, bad])])
    with pytest.raises(IndexError, match=r"id 3 is outside \[0, 3\)"):
        cpu.embed([dense, dense], [np.array([0]), np.array([3])])
    with pytest.raises(ValueError, match="ids of every table: expected 2, got 1"):
        cpu.embed([dense, dense], [np.array([0, 1]), np.array([1])])
    with pytest.raises(ValueError, match="weight: expected 4"):
        cpu.layer_norm(x, np.ones(3, np.float32), np.ones(4, np.float32), 1e-5)
    with pytest.raises(ValueError, match="bytes of the matrix: expected 24, got 20"):
        _native.Dense(np.zeros(20, np.uint8), "f32", "nk", 2, 3)

    store = cpu.kv_store(2, 2, 4, 5, "f16")
    qkv = np.zeros((1, 24), np.float32)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (qkv[:, :23].copy(), {}, "columns of qkv: expected 24"),
        (np.zeros((2, 24), np.float32), {}, "rows of qkv: expected 1"),
        (qkv, {"layer": 2}, "no such layer"),
        (qkv, {"n_heads": 3}, "multiple of key/value heads"),
        (qkv, {"n_heads": 0}, "multiple of key/value heads"),
    ]
    for x, changed, message in cases:
        how = {"layer": 0, "n_heads": 2, "scale": 1.0, **changed}
        with pytest.raises((ValueError, IndexError), match=message):
            cpu.attend(x, [store], [1], **how)
    with pytest.raises(ValueError, match="stands twice"):
        cpu.attend(
            np.zeros((2, 24), np.float32), [store, store], [1, 1], layer=0, n_heads=2, scale=1.0
        )
    with pytest.raises(ValueError, match="f32 or f16, not bf16"):
        cpu.kv_store(1, 1, 8, 8, "bf16")
    with pytest.raises(MemoryError):
        cpu.kv_store(2**20, 2**20, 512, 2**30, "f32")


@needs_core
def test_an_unaligned_array_is_copied_and_an_aligned_one_is_not() -> None:
    cpu = backends.create("cpu", 1)
    raw = np.zeros(4 * 12 + 1, np.uint8)
    for begin, owned in ((0, 0), (1, 48)):
        data = raw[begin : begin + 48].view(np.float32).reshape(3, 4)
        data.flags.writeable = False
        assert data.flags.aligned == (begin == 0)
        assert cpu.dense(data, "f32", "nk").owned_bytes == owned
