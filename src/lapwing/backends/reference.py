"""The NumPy backend: the definition of every operation, and what runs without a compiled core.

Integer linears quantize activations to int8 per token and group of 32, as the kernels do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lapwing.backends.base import (
    POOLINGS,
    BadWeightError,
    Floats,
    Ids,
    KVStore,
    Layout,
    Matrix,
)
from lapwing.quant import scheme
from lapwing.quant.convert import to_f32


class DenseMatrix:
    """Float weights read where they lie, as a [N, K] view."""

    refine_bytes = 0

    def __init__(self, data: NDArray[Any], dtype: str, layout: Layout) -> None:
        self.dtype = dtype
        self.data = data if layout == "nk" else data.T
        self.N, self.K = self.data.shape
        self.base_bytes = data.nbytes
        self.owned_bytes = data.nbytes if data.flags.writeable else 0


class PlaneMatrix:
    """Quantized weights. What a precision reads of them is decoded once and kept as float32.

    This backend is there to be right and to run anywhere, not to be small.
    """

    def __init__(self, planes: scheme.PlaneArrays) -> None:
        self.planes = planes
        self.N, self.K = planes.N, planes.K
        self.refine_bytes = 0 if planes.refine is None else planes.refine.nbytes
        self.base_bytes = planes.nbytes - self.refine_bytes
        self.owned_bytes = planes.nbytes
        self._decoded: dict[str, Floats] = {}

    def read(self, precision: str) -> Floats:
        """[N, K] as `int4` or `int8` reads it."""
        if precision not in self._decoded:
            self._decoded[precision] = scheme.decode(self.planes, precision)
        return self._decoded[precision]


class ArrayKVStore:
    """Keys and values as [layer, 2, Hkv, capacity, Dh]; the system commits pages as they fill."""

    def __init__(
        self, layers: int, kv_heads: int, head_dim: int, capacity: int, dtype: str
    ) -> None:
        shape = (layers, 2, kv_heads, capacity, head_dim)
        self.data = np.empty(shape, np.float32 if dtype == "f32" else np.float16)
        self.length, self.capacity = 0, capacity

    @property
    def nbytes(self) -> int:
        """See KVStore."""
        return self.data[:, :, :, : self.length].nbytes

    def truncate(self, length: int) -> None:
        """See KVStore."""
        if length > self.length:
            raise IndexError(
                f"cannot truncate to {length} positions: the cache holds {self.length}"
            )
        self.length = length

    def advance(self, count: int) -> None:
        """See KVStore."""
        if count > self.capacity - self.length:
            raise IndexError("the KV cache is full")
        self.length += count

    def fork(self) -> ArrayKVStore:
        """See KVStore."""
        copy = ArrayKVStore.__new__(ArrayKVStore)
        copy.data = np.empty_like(self.data)
        copy.length, copy.capacity = self.length, self.capacity
        copy.data[:, :, :, : self.length] = self.data[:, :, :, : self.length]
        return copy


def quantize_rows(x: Floats) -> Floats:
    """What x [T, K] is after int8 with one scale per token and group of 32."""
    T, K = x.shape
    padded = np.zeros((T, scheme.group_count(K) * scheme.GROUP), np.float32)
    padded[:, :K] = x
    groups = padded.reshape(T, -1, scheme.GROUP)
    amax = np.abs(groups).max(-1, keepdims=True)
    live = amax > 1e-30
    inverse = np.divide(np.float32(127), amax, out=np.zeros_like(amax), where=live)
    scale = np.where(live, amax / np.float32(127), np.float32(0))
    return (np.rint(groups * inverse) * scale).reshape(T, -1)[:, :K]


def _erf(x: Floats) -> Floats:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x), np.float32)


def activate(x: Floats, activation: str | None) -> Floats:
    """relu, silu (arXiv 1606.08415 §2), tanh, gelu with erf, gelu_tanh with its tanh form."""
    with np.errstate(over="ignore"):
        if activation is None:
            return x
        if activation == "relu":
            return np.maximum(x, np.float32(0))
        if activation == "silu":
            return x / (1 + np.exp(-x))
        if activation == "tanh":
            return np.tanh(x)
        if activation == "gelu":
            return np.float32(0.5) * x * (1 + _erf(x * np.float32(math.sqrt(0.5))))
        if activation == "gelu_tanh":
            inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
            return np.float32(0.5) * x * (1 + np.tanh(inner))
    raise ValueError(f"activation: unknown {activation!r}")


class ReferenceBackend:
    """Fused operations in NumPy."""

    name = "reference"
    isa = "numpy"

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads  # of NumPy's own BLAS: not ours to set

    def dense(self, data: NDArray[Any], dtype: str, layout: Layout) -> Matrix:
        """See Backend."""
        return DenseMatrix(data, dtype, layout)

    def planes(self, data: NDArray[Any], dtype: str, layout: Layout, *, refine: bool) -> Matrix:
        """See Backend."""
        weights = to_f32(data, dtype)
        bad = scheme.find_bad_weight(weights)
        if bad is not None:
            raise BadWeightError(*bad, float(weights[bad]))
        weights = weights if layout == "nk" else np.ascontiguousarray(weights.T)
        return PlaneMatrix(scheme.encode(weights, refine=refine))

    def first_nonfinite(self, data: NDArray[Any], dtype: str) -> int | None:
        """See Backend."""
        flat = data.reshape(-1)
        for begin in range(0, flat.size, 1 << 20):
            bad = ~np.isfinite(to_f32(flat[begin : begin + (1 << 20)], dtype))
            if bad.any():
                return begin + int(bad.argmax())
        return None

    def kv_store(
        self, layers: int, kv_heads: int, head_dim: int, capacity: int, dtype: str
    ) -> KVStore:
        """See Backend."""
        return ArrayKVStore(layers, kv_heads, head_dim, capacity, dtype)

    def _rows(self, matrix: Matrix, rows: Any) -> Floats:
        if isinstance(matrix, PlaneMatrix):
            precision = "int8" if matrix.planes.refine is not None else "int4"
            return matrix.read(precision)[rows]
        dense = cast(DenseMatrix, matrix)
        return to_f32(dense.data[rows], dense.dtype)

    def embed(self, tables: Sequence[Matrix], ids: Sequence[Ids]) -> Floats:
        """See Backend."""
        first, *others = (self._rows(*pair) for pair in zip(tables, ids, strict=True))
        return sum(others, start=first)

    def layer_norm(self, x: Floats, weight: Floats, bias: Floats, eps: float) -> Floats:
        """See Backend."""
        centred = x - x.mean(-1, keepdims=True)
        variance = np.square(centred).mean(-1, keepdims=True)
        return centred / np.sqrt(variance + np.float32(eps)) * weight + bias

    def linear(
        self,
        x: Floats,
        matrix: Matrix,
        *,
        precision: str,
        bias: Floats | None = None,
        activation: str | None = None,
        residual: Floats | None = None,
    ) -> Floats:
        """See Backend."""
        if isinstance(matrix, PlaneMatrix):
            out = quantize_rows(x) @ matrix.read(precision).T
        else:
            out = x @ self._rows(matrix, slice(None)).T
        if bias is not None:
            out = out + bias
        out = activate(out, activation)
        return out if residual is None else out + residual

    def linear_joined(
        self,
        x: Floats,
        matrices: Sequence[Matrix],
        *,
        precision: str,
        biases: Sequence[Floats | None],
    ) -> Floats:
        """See Backend."""
        outs = [
            self.linear(x, matrix, precision=precision, bias=bias)
            for matrix, bias in zip(matrices, biases, strict=True)
        ]
        return np.concatenate(outs, axis=1)

    def attend(
        self,
        qkv: Floats,
        stores: Sequence[KVStore],
        lengths: Sequence[int],
        *,
        layer: int,
        n_heads: int,
        scale: float,
    ) -> Floats:
        """See Backend."""
        out, begin = [], 0
        for store, L in zip(cast("Sequence[ArrayKVStore]", stores), lengths, strict=True):
            rows = qkv[begin : begin + L]
            out.append(_attend_one(rows, store, layer=layer, n_heads=n_heads, scale=scale))
            begin += L
        return np.concatenate(out)

    def attend_bidirectional(
        self, qkv: Floats, lengths: Sequence[int], *, n_heads: int, scale: float
    ) -> Floats:
        """See Backend."""
        out = [_attend_all(rows, n_heads, scale) for rows in _split(qkv, lengths)]
        return np.concatenate(out)

    def pool(self, x: Floats, lengths: Sequence[int], pooling: str) -> Floats:
        """See Backend."""
        if pooling not in POOLINGS:
            raise ValueError(f"pooling: unknown {pooling!r}")
        return np.stack([_pool_one(rows, pooling) for rows in _split(x, lengths)])

    def unit_length(self, x: Floats) -> Floats:
        """See Backend."""
        norms = np.sqrt(np.square(x).sum(-1, keepdims=True))
        return x / np.maximum(norms, np.float32(1e-12))


def _split(packed: Floats, lengths: Sequence[int]) -> list[Floats]:
    return np.split(packed, np.cumsum(lengths)[:-1])


def _pool_one(rows: Floats, pooling: str) -> Floats:
    if not len(rows):
        raise ValueError("a sequence is empty")
    if pooling in ("cls", "lasttoken"):
        return rows[0 if pooling == "cls" else -1]
    if pooling == "max":
        return rows.max(0)
    length = np.float32(len(rows))
    return rows.sum(0) / (length if pooling == "mean" else np.sqrt(length))


def _softmax(scores: Floats) -> Floats:
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def _attend_all(rows: Floats, n_heads: int, scale: float) -> Floats:
    L, width = rows.shape
    if not L:
        return rows[:, : width // 3]
    # [3, H, L, Dh]
    queries, keys, values = rows.reshape(L, 3, n_heads, -1).transpose(1, 2, 0, 3)
    weights = _softmax((queries * np.float32(scale)) @ keys.swapaxes(1, 2))  # [H, L, L]
    return (weights @ values).swapaxes(0, 1).reshape(L, -1)


def _attend_one(
    rows: Floats, store: ArrayKVStore, *, layer: int, n_heads: int, scale: float
) -> Floats:
    L = rows.shape[0]
    _, _, Hkv, capacity, Dh = store.data.shape
    S = store.length + L
    if capacity < S:
        raise IndexError(
            f"KV cache: {store.length} + {L} positions exceed its capacity of {capacity}"
        )
    queries, keys, values = np.split(rows, [n_heads * Dh, (n_heads + Hkv) * Dh], axis=1)
    queries = queries.reshape(L, n_heads, Dh).swapaxes(0, 1)  # [H, L, Dh]
    cache = store.data[layer]
    cache[0, :, store.length : S] = keys.reshape(L, Hkv, Dh).swapaxes(0, 1)
    cache[1, :, store.length : S] = values.reshape(L, Hkv, Dh).swapaxes(0, 1)
    group = n_heads // Hkv
    all_keys = np.repeat(cache[0, :, :S].astype(np.float32), group, axis=0)  # [H, S, Dh]
    all_values = np.repeat(cache[1, :, :S].astype(np.float32), group, axis=0)
    scores = (queries * np.float32(scale)) @ all_keys.swapaxes(1, 2)  # [H, L, S]
    future = np.arange(S)[None, :] > np.arange(store.length, S)[:, None]
    scores = np.where(future, np.float32(-np.inf), scores)
    weights = _softmax(scores)
    return (weights @ all_values).swapaxes(0, 1).reshape(L, n_heads * Dh)
