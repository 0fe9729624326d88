"""What a backend is: the same few fused operations on one device.

Activations are float32 [T, D], the tokens of all sequences packed end to end. A matrix is [N, K]:
N outputs, K inputs; its `layout` says how the file holds it: `nk` row-major [N, K], `kn` the
transpose (Conv1D). Precision is an argument of each pass: `int8` or `int4` for planes; float
matrices have one reading and ignore it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
Layout = Literal["nk", "kn"]
ACTIVATIONS = ("relu", "silu", "tanh", "gelu", "gelu_tanh")
# first row, largest of each column, mean, sum/√L, last row: sentence-transformers' names
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len", "lasttoken")


class BadWeightError(ValueError):
    """A weight that cannot be stored; (row, column) of the array as the file holds it."""

    def __init__(self, row: int, column: int, value: float) -> None:
        super().__init__(f"[{row}, {column}] is {value}")
        self.row, self.column, self.value = row, column, value


class Matrix(Protocol):
    """A weight matrix [N, K] as a backend holds it."""

    @property
    def N(self) -> int: ...  # noqa: N802
    @property
    def K(self) -> int: ...  # noqa: N802
    @property
    def base_bytes(self) -> int:
        """What an int4 or float pass over every row reads."""
        ...

    @property
    def refine_bytes(self) -> int:
        """What an int8 pass reads beyond that; 0 where no refine plane is held."""
        ...

    @property
    def owned_bytes(self) -> int:
        """Memory of its own: 0 where the file's mapping is used in place."""
        ...


class KVStore(Protocol):
    """Keys and values of one sequence, all layers."""

    @property
    def length(self) -> int:
        """Positions filled."""
        ...

    @property
    def capacity(self) -> int:
        """Positions there is room for."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of the positions filled."""
        ...

    def truncate(self, length: int) -> None:
        """Gives up every position from `length` on."""

    def advance(self, count: int) -> None:
        """`count` more positions now hold every layer's keys and values."""

    def fork(self) -> KVStore:
        """An independent copy."""
        ...


class Backend(Protocol):
    """Makes matrices and caches, and computes with them."""

    name: str
    isa: str
    threads: int

    def dense(self, data: NDArray[Any], dtype: str, layout: Layout) -> Matrix:
        """A float matrix used where it lies; dtype f32, f16 or bf16 (as uint16)."""
        ...

    def planes(self, data: NDArray[Any], dtype: str, layout: Layout, *, refine: bool) -> Matrix:
        """Quantizes a float matrix. Raises BadWeightError."""
        ...

    def first_nonfinite(self, data: NDArray[Any], dtype: str) -> int | None:
        """Flat index of the first infinity or NaN."""
        ...

    def kv_store(
        self, layers: int, kv_heads: int, head_dim: int, capacity: int, dtype: str
    ) -> KVStore:
        """An empty cache; its pages are committed as they are filled."""
        ...

    def embed(self, tables: Sequence[Matrix], ids: Sequence[Ids]) -> Floats:
        """Σ table[ids] over the tables, in their order → [T, D]; planes are read at full width."""
        ...

    def layer_norm(self, x: Floats, weight: Floats, bias: Floats, eps: float) -> Floats:
        """(x − mean)/√(var + eps)·weight + bias, per row (arXiv 1607.06450)."""
        ...

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
        """activation(x [T, K] · wᵀ + bias) + residual → [T, N]."""
        ...

    def linear_joined(
        self,
        x: Floats,
        matrices: Sequence[Matrix],
        *,
        precision: str,
        biases: Sequence[Floats | None],
    ) -> Floats:
        """Matrices that read the same x, one operation: x·wᵀ + bias side by side → [T, ΣN]."""
        ...

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
        """Causal attention of packed sequences → [T, H·Dh].

        qkv [T, (H + 2·Hkv)·Dh]. Sequence i has lengths[i] new rows; their keys and values are
        appended to stores[i] (whose length moves only by `advance`) and attended to as stored.
        """
        ...

    def attend_bidirectional(
        self, qkv: Floats, lengths: Sequence[int], *, n_heads: int, scale: float
    ) -> Floats:
        """Attention of packed sequences, every token to all of its own → [T, H·Dh].

        qkv [T, 3·H·Dh]; nothing is cached.
        """
        ...

    def pool(self, x: Floats, lengths: Sequence[int], pooling: str) -> Floats:
        """The rows of each sequence, none empty, become one: see POOLINGS → [sequences, D]."""
        ...

    def unit_length(self, x: Floats) -> Floats:
        """x/max(‖x‖₂, 1e-12), per row."""
        ...
