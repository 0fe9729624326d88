"""The compiled backend: C++ kernels picked for this processor, on a thread pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lapwing import _native
from lapwing.backends.base import (
    BadWeightError,
    Floats,
    HeadNorms,
    Ids,
    KVStore,
    Layout,
    Matrix,
    RecordedPass,
    Recording,
)
from lapwing.quant import scheme


def _aligned(data: NDArray[Any]) -> NDArray[Any]:
    """The same memory, unless it is not contiguous or a file has it at an odd byte: then a copy."""
    return np.require(data, requirements=("C", "A"))


def _dense(data: NDArray[Any], dtype: str, layout: Layout) -> _native.Dense:
    rows, columns = data.shape if data.ndim == 2 else (1, data.size)
    N, K = (rows, columns) if layout == "nk" else (columns, rows)
    return _native.Dense(_aligned(data).reshape(-1).view(np.uint8), dtype, layout, N, K)


class DenseMatrix:
    """Float weights read where they lie."""

    refine_bytes = 0

    def __init__(self, data: NDArray[Any], dtype: str, layout: Layout) -> None:
        data = _aligned(data)
        self.handle = _dense(data, dtype, layout)
        self.N, self.K = self.handle.N, self.handle.K
        self.base_bytes = data.nbytes
        self.owned_bytes = data.nbytes if data.flags.writeable else 0


class PlaneMatrix:
    """Quantized weights, in planes of their own or in a file's mapping."""

    def __init__(self, handle: _native.Planes, *, owned: bool = True) -> None:
        self.handle = handle
        self.N, self.K = handle.N, handle.K
        self.base_bytes = handle.base.nbytes + handle.factors.nbytes
        self.refine_bytes = handle.refine.nbytes if handle.has_refine else 0
        self.owned_bytes = self.base_bytes + self.refine_bytes if owned else 0


class CpuRecordedPass:
    """Runs in one call, with Python's lock let go once."""

    def __init__(self, handle: _native.RecordedPass, context: _native.Context) -> None:
        self._handle, self._context = handle, context

    def run(
        self,
        numbers: Sequence[Sequence[int]] | Sequence[Ids],
        lengths: Sequence[int],
        stores: Sequence[KVStore],
    ) -> Floats | None:
        """See RecordedPass."""
        caches = cast("Sequence[_native.KVCache]", stores)
        return self._handle.run(self._context, numbers, lengths, caches)


class CpuRecording:
    """Of the thread that enters it."""

    def __init__(
        self, context: _native.Context, numbers: Sequence[Ids], lengths: Sequence[int]
    ) -> None:
        self._context = context
        self._handle = _native.Recording(numbers, lengths)

    def __enter__(self) -> object:
        self._handle.begin()
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.end()

    def finish(self, result: Floats) -> RecordedPass | None:
        """See Recording."""
        handle = self._handle.finish(result)
        return None if handle is None else CpuRecordedPass(handle, self._context)


class CpuBackend:
    """Fused operations of `_native`; no NumPy arithmetic between token ids and logits."""

    name = "cpu"

    def __init__(self, threads: int, isa: str = "auto") -> None:
        self._context = _native.Context(threads, isa)
        self.isa = self._context.isa

    @property
    def threads(self) -> int:
        """Threads a pass of a few tokens is split over; may change between calls, and sets both."""
        return self._context.threads

    @threads.setter
    def threads(self, threads: int) -> None:
        self._context.threads = threads

    @property
    def prefill_threads(self) -> int:
        """Those of a pass of more tokens."""
        return self._context.prefill_threads

    @prefill_threads.setter
    def prefill_threads(self, threads: int) -> None:
        self._context.prefill_threads = threads

    @property
    def narrow_codes(self) -> bool:
        """See Backend."""
        return self._context.narrow_codes

    @narrow_codes.setter
    def narrow_codes(self, narrow: bool) -> None:
        self._context.narrow_codes = narrow

    def read_all(self, data: NDArray[np.uint8]) -> None:
        """Reads every byte with all threads, as fast as memory gives them: to measure that."""
        _native.sum_words(self._context, data)

    def dense(self, data: NDArray[Any], dtype: str, layout: Layout) -> Matrix:
        """See Backend."""
        return DenseMatrix(data, dtype, layout)

    def planes(self, data: NDArray[Any], dtype: str, layout: Layout, *, refine: bool) -> Matrix:
        """See Backend."""
        result = _native.encode(self._context, _dense(data, dtype, layout), refine)
        if isinstance(result, _native.BadWeight):
            raise BadWeightError(result.row, result.column, result.value)
        return PlaneMatrix(result)

    def kept_planes(self, arrays: scheme.PlaneArrays) -> Matrix:
        """See Backend."""
        base, factors, refine = (
            None if part is None else part.reshape(-1).view(np.uint8)
            for part in (arrays.base, arrays.factors, arrays.refine)
        )
        assert base is not None
        assert factors is not None
        handle = _native.KeptPlanes(arrays.N, arrays.K, base, factors, refine)
        return PlaneMatrix(handle, owned=arrays.base.base is None)

    def plane_arrays(self, matrix: Matrix) -> scheme.PlaneArrays:
        """See Backend."""
        handle = cast(PlaneMatrix, matrix).handle
        rows = scheme.row_group_count(handle.N)
        refine = handle.refine.reshape(rows, -1) if handle.has_refine else None
        return scheme.PlaneArrays(
            handle.N, handle.K, handle.base.reshape(rows, -1), refine, handle.factors
        )

    def first_nonfinite(self, data: NDArray[Any], dtype: str) -> int | None:
        """See Backend."""
        return _dense(data.reshape(-1), dtype, "nk").first_nonfinite(self._context)

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
        return _native.KVCache(layers, kv_heads, head_dim, capacity, dtype, windows)

    def record(self, numbers: Sequence[Ids], lengths: Sequence[int]) -> Recording | None:
        """See Backend."""
        return CpuRecording(self._context, numbers, lengths)

    def embed(self, tables: Sequence[Matrix], ids: Sequence[Ids], scale: float = 1.0) -> Floats:
        """See Backend."""
        held = cast("Sequence[DenseMatrix | PlaneMatrix]", tables)
        return _native.embed(self._context, [table.handle for table in held], ids, scale)

    def layer_norm(self, x: Floats, weight: Floats, bias: Floats, eps: float) -> Floats:
        """See Backend."""
        return _native.layer_norm(self._context, x, weight, bias, eps)

    def rms_norm(
        self, x: Floats, weight: Floats, eps: float, *, residual: Floats | None = None
    ) -> Floats:
        """See Backend."""
        return _native.rms_norm(self._context, x, weight, eps, residual)

    def soft_cap(self, x: Floats, cap: float) -> Floats:
        """See Backend."""
        _native.soft_cap(self._context, x, cap)
        return x

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
            return _native.linear_planes(
                self._context, [matrix.handle], x, precision, [bias], activation, residual
            )
        dense = cast(DenseMatrix, matrix)
        return _native.linear_dense(self._context, [dense.handle], x, [bias], activation, residual)

    def linear_joined(
        self,
        x: Floats,
        matrices: Sequence[Matrix],
        *,
        precision: str,
        biases: Sequence[Floats | None],
    ) -> Floats:
        """See Backend."""
        if isinstance(matrices[0], PlaneMatrix):
            planes = [matrix.handle for matrix in cast("Sequence[PlaneMatrix]", matrices)]
            return _native.linear_planes(self._context, planes, x, precision, biases, None, None)
        dense = [matrix.handle for matrix in cast("Sequence[DenseMatrix]", matrices)]
        return _native.linear_dense(self._context, dense, x, biases, None, None)

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
        if isinstance(matrices[0], PlaneMatrix):
            planes = [matrix.handle for matrix in cast("Sequence[PlaneMatrix]", matrices)]
            return _native.gated_planes(self._context, planes, x, precision, biases, activation)
        dense = [matrix.handle for matrix in cast("Sequence[DenseMatrix]", matrices)]
        return _native.gated_dense(self._context, dense, x, biases, activation)

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
        caches = cast("Sequence[_native.KVCache]", stores)
        query, key, eps = norms or (None, None, 0.0)
        return _native.attend_causal(
            self._context,
            qkv,
            caches,
            lengths,
            layer,
            n_heads,
            scale,
            softcap,
            rotations,
            query,
            key,
            eps,
        )

    def attend_bidirectional(
        self, qkv: Floats, lengths: Sequence[int], *, n_heads: int, scale: float
    ) -> Floats:
        """See Backend."""
        return _native.attend_bidirectional(self._context, qkv, lengths, n_heads, scale)

    def pool(self, x: Floats, lengths: Sequence[int], pooling: str) -> Floats:
        """See Backend."""
        return _native.pool(self._context, x, lengths, pooling)

    def unit_length(self, x: Floats) -> Floats:
        """See Backend."""
        return _native.unit_length(self._context, x)
