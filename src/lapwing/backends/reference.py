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
    HeadNorms,
    Ids,
    KVStore,
    Layout,
    Matrix,
    Recording,
)
from lapwing.backends.reference_arrays import ArrayKVStore, DenseMatrix, PlaneMatrix
from lapwing.quant import scheme
from lapwing.quant.convert import to_f32


def quantize_rows(x: Floats, *, narrow: bool = False) -> Floats:
    """What x [T, K] is after int8 with one scale per token and group of 32.

    narrow: see Backend.narrow_codes; a step is 1/126 of the largest sum of four magnitudes.
    """
    T, K = x.shape
    padded = np.zeros((T, scheme.group_count(K) * scheme.GROUP), np.float32)
    padded[:, :K] = x
    groups = padded.reshape(T, -1, scheme.GROUP)
    sizes, steps = np.abs(groups), np.float32(127)
    if narrow:
        pairs = sizes[..., 0::2] + sizes[..., 1::2]  # [T, groups, 16]: of k, k + 1
        eights = pairs.reshape(T, -1, scheme.GROUP // 8, 2, 2)
        sizes, steps = eights.sum(-2).reshape(T, -1, scheme.GROUP // 4), np.float32(126)
    amax = sizes.max(-1, keepdims=True)
    live = amax > 1e-30
    inverse = np.divide(steps, amax, out=np.zeros_like(amax), where=live)
    scale = np.where(live, amax / steps, np.float32(0))
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
        self.threads = self.prefill_threads = threads  # of NumPy's own BLAS: not ours to set
        self.narrow_codes = False

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

    def kept_planes(self, arrays: scheme.PlaneArrays) -> Matrix:
        """See Backend."""
        return PlaneMatrix(arrays)

    def plane_arrays(self, matrix: Matrix) -> scheme.PlaneArrays:
        """See Backend."""
        return cast(PlaneMatrix, matrix).planes

    def first_nonfinite(self, data: NDArray[Any], dtype: str) -> int | None:
        """See Backend."""
        flat = data.reshape(-1)
        for begin in range(0, flat.size, 1 << 20):
            bad = ~np.isfinite(to_f32(flat[begin : begin + (1 << 20)], dtype))
            if bad.any():
                return begin + int(bad.argmax())
        return None

    def kv_store(
        self,
        layers: int,
        kv_heads: int,
        head_dim: int,
        capacity: int,
        dtype: str,
        windows: Sequence[int] = (),
    ) -> KVStore:
        """See Backend."""
        return ArrayKVStore(layers, kv_heads, head_dim, capacity, dtype, windows)

    def _rows(self, matrix: Matrix, rows: Any) -> Floats:
        if isinstance(matrix, PlaneMatrix):
            precision = "int8" if matrix.planes.refine is not None else "int4"
            return matrix.read(precision)[rows]
        dense = cast(DenseMatrix, matrix)
        return to_f32(dense.data[rows], dense.dtype)

    def record(self, numbers: Sequence[Ids], lengths: Sequence[int]) -> Recording | None:
        """NumPy's calls are not written down."""
        return None

    def embed(self, tables: Sequence[Matrix], ids: Sequence[Ids], scale: float = 1.0) -> Floats:
        """See Backend."""
        first, *others = (self._rows(*pair) for pair in zip(tables, ids, strict=True))
        return sum(others, start=first) * np.float32(scale)

    def layer_norm(self, x: Floats, weight: Floats, bias: Floats, eps: float) -> Floats:
        """See Backend."""
        centred = x - x.mean(-1, keepdims=True)
        variance = np.square(centred).mean(-1, keepdims=True)
        return centred / np.sqrt(variance + np.float32(eps)) * weight + bias

    def rms_norm(
        self, x: Floats, weight: Floats, eps: float, *, residual: Floats | None = None
    ) -> Floats:
        """See Backend."""
        normed = _rms_norm(x, weight, eps)
        return normed if residual is None else normed + residual

    def soft_cap(self, x: Floats, cap: float) -> Floats:
        """See Backend."""
        return np.float32(cap) * np.tanh(x / np.float32(cap))

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
            narrow = self.narrow_codes and precision == "int8"
            out = quantize_rows(x, narrow=narrow) @ matrix.read(precision).T
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

    def gated_linear(
        self,
        x: Floats,
        matrices: Sequence[Matrix],
        *,
        precision: str,
        biases: Sequence[Floats | None],
        activation: str,
    ) -> Floats:
        """See Backend."""
        both = self.linear_joined(x, matrices, precision=precision, biases=biases)
        gate, up = np.split(both, 2, axis=1)
        return activate(gate, activation) * up

    def attend(
        self,
        qkv: Floats,
        stores: Sequence[KVStore],
        lengths: Sequence[int],
        *,
        layer: int,
        n_heads: int,
        scale: float,
        softcap: float = 0.0,
        rotations: Floats | None = None,
        norms: HeadNorms | None = None,
    ) -> Floats:
        """See Backend."""
        Dh = cast("Sequence[ArrayKVStore]", stores)[0].data.shape[-1]
        heads = qkv.reshape(len(qkv), -1, Dh)  # [T, H + 2·Hkv, Dh]
        n_kv_heads = (heads.shape[1] - n_heads) // 2
        queries, keys, values = np.split(heads, [n_heads, n_heads + n_kv_heads], axis=1)
        if norms is not None:
            queries = _rms_norm(queries, norms.query, norms.eps)
            keys = _rms_norm(keys, norms.key, norms.eps)
        if rotations is not None:
            queries, keys = _turn(queries, rotations), _turn(keys, rotations)
        out, begin = [], 0
        for store, L in zip(cast("Sequence[ArrayKVStore]", stores), lengths, strict=True):
            rows = slice(begin, begin + L)
            _append(store, layer, keys[rows], values[rows])
            out.append(_attend_one(queries[rows], store, layer, scale, softcap))
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


def _rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(eps)) * weight


def _turn(heads: Floats, rotations: Floats) -> Floats:
    """heads [T, H, Dh], rotations [T, 2·half]: pairs (i, i + half) turned, the rest as it is."""
    half = rotations.shape[1] // 2
    cosines, sines = rotations[:, None, :half], rotations[:, None, half:]
    a, b, rest = heads[..., :half], heads[..., half : 2 * half], heads[..., 2 * half :]
    return np.concatenate([a * cosines - b * sines, b * cosines + a * sines, rest], axis=-1)


def _append(store: ArrayKVStore, layer: int, keys: Floats, values: Floats) -> None:
    """keys, values [L, Hkv, Dh]."""
    L = len(keys)
    S, capacity = store.length + L, store.capacity
    if capacity < S:
        raise IndexError(
            f"KV cache: {store.length} + {L} positions exceed its capacity of {capacity}"
        )
    store.data[layer, 0, :, store.length : S] = keys.swapaxes(0, 1)
    store.data[layer, 1, :, store.length : S] = values.swapaxes(0, 1)


def _attend_one(
    queries: Floats, store: ArrayKVStore, layer: int, scale: float, softcap: float
) -> Floats:
    """queries [L, H, Dh], the last L of the positions the store has → [L, H·Dh]."""
    L, n_heads, Dh = queries.shape
    S, cache = store.length + L, store.data[layer]
    group = n_heads // cache.shape[1]
    keys = np.repeat(cache[0, :, :S].astype(np.float32), group, axis=0)  # [H, S, Dh]
    values = np.repeat(cache[1, :, :S].astype(np.float32), group, axis=0)
    scores = (queries.swapaxes(0, 1) * np.float32(scale)) @ keys.swapaxes(1, 2)  # [H, L, S]
    if softcap:
        scores = np.float32(softcap) * np.tanh(scores / np.float32(softcap))
    back = np.arange(store.length, S)[:, None] - np.arange(S)[None, :]  # [L, S] positions
    window = store.windows[layer] or S
    scores = np.where((back < 0) | (back >= window), np.float32(-np.inf), scores)
    return (_softmax(scores) @ values).swapaxes(0, 1).reshape(L, n_heads * Dh)
