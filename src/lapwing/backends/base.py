"""What a backend is: the same few fused operations on one device.

Activations are float32 [T, D], the tokens of all sequences packed end to end. A matrix is [N, K]:
N outputs, K inputs; its `layout` says how the file holds it: `nk` row-major [N, K], `kn` the
transpose (Conv1D). Precision is an argument of each pass: `int8` or `int4` for planes; float
matrices have one reading and ignore it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lapwing.quant.scheme import PlaneArrays

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

    @property
    def shortest(self) -> int:
        """`truncate` goes down to this or to 0: windows have given back what lies before."""
        ...

    def truncate(self, length: int) -> None:
        """Gives up every position from `length` on."""

    def advance(self, count: int) -> None:
        """`count` more positions now hold every layer's keys and values."""

    def fork(self) -> KVStore:
        """An independent copy."""
        ...


class HeadNorms(NamedTuple):
    """RMS norms of each head of queries and keys: weights [Dh]."""

    query: Floats
    key: Floats
    eps: float


class RecordedPass(Protocol):
    """The operations of one pass, to be run again for other tokens."""

    def run(
        self,
        numbers: Sequence[Sequence[int]] | Sequence[Ids],
        lengths: Sequence[int],
        stores: Sequence[KVStore],
    ) -> Floats | None:
        """The result; None where the pass does not hold for these tokens: nothing was done then.

        numbers: what it was recorded with, of these tokens, each [T].
        """
        ...


class Recording(Protocol):
    """While it is entered, what this thread computes is written down."""

    def __enter__(self) -> object: ...
    def __exit__(self, *error: object) -> None: ...

    def finish(self, result: Floats) -> RecordedPass | None:
        """The pass that ends in `result`; None if it used arrays that came from elsewhere."""
        ...


class Backend(Protocol):
    """Makes matrices and caches, and computes with them."""

    name: str
    isa: str
    threads: int  # of passes of a few tokens; setting it sets both
    prefill_threads: int  # of passes of more
    # Linears read at int8 multiply activations of fewer steps: of each four that a 16-bit sum of
    # products takes (k, k + 1, k + 4, k + 5, and the same two further on) the magnitudes add up to
    # 128 at most, instead of 127 each.
    narrow_codes: bool

    def dense(self, data: NDArray[Any], dtype: str, layout: Layout) -> Matrix:
        """A float matrix used where it lies; dtype f32, f16 or bf16 (as uint16)."""
        ...

    def planes(self, data: NDArray[Any], dtype: str, layout: Layout, *, refine: bool) -> Matrix:
        """Quantizes a float matrix. Raises BadWeightError."""
        ...

    def kept_planes(self, arrays: PlaneArrays) -> Matrix:
        """A matrix that is quantized already, used where it lies."""
        ...

    def plane_arrays(self, matrix: Matrix) -> PlaneArrays:
        """The memory of a quantized matrix, nothing copied: what a store keeps."""
        ...

    def first_nonfinite(self, data: NDArray[Any], dtype: str) -> int | None:
        """Flat index of the first infinity or NaN."""
        ...

    def kv_store(
        self,
        layers: int,
        kv_heads: int,
        head_dim: int,
        capacity: int,
        dtype: str,
        windows: Sequence[int] = (),
    ) -> KVStore:
        """An empty cache; its pages are committed as they are filled.

        windows: of each layer, how many positions a token sees, itself included; 0 for all. None
        at all: every layer sees everything.
        """
        ...

    def record(self, numbers: Sequence[Ids], lengths: Sequence[int]) -> Recording | None:
        """For a pass over tokens of these ids, positions and the like; None: not on this backend.

        Such a pass depends on nothing else that changes: every array it uses is one of its
        weights, `numbers`, or made by one of its operations.
        """
        ...

    def embed(self, tables: Sequence[Matrix], ids: Sequence[Ids], scale: float = 1.0) -> Floats:
        """scale·Σ table[ids], tables in their order → [T, D]; planes are read at full width."""
        ...

    def layer_norm(self, x: Floats, weight: Floats, bias: Floats, eps: float) -> Floats:
        """(x − mean)/√(var + eps)·weight + bias, per row (arXiv 1607.06450)."""
        ...

    def rms_norm(
        self, x: Floats, weight: Floats, eps: float, *, residual: Floats | None = None
    ) -> Floats:
        """x/√(mean(x²) + eps)·weight + residual, per row (arXiv 1910.07467)."""
        ...

    def soft_cap(self, x: Floats, cap: float) -> Floats:
        """cap·tanh(x/cap); x may be overwritten."""
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

    def gated_linear(
        self,
        x: Floats,
        matrices: Sequence[Matrix],
        *,
        precision: str,
        biases: Sequence[Floats | None],
        activation: str,
    ) -> Floats:
        """activation(x·gateᵀ)·(x·upᵀ) → [T, F] (arXiv 2002.05202).

        matrices: gate and up, [F, K] each, or one with both, gate first.
        """
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
        softcap: float = 0.0,
        rotations: Floats | None = None,
        norms: HeadNorms | None = None,
    ) -> Floats:
        """Causal attention of packed sequences → [T, H·Dh].

        qkv [T, (H + 2·Hkv)·Dh]. Sequence i has lengths[i] new rows; their keys and values are
        appended to stores[i] (whose length moves only by `advance`) and attended to as stored,
        within the window that the store has for the layer. Before that, heads of queries and keys
        are normed (`norms`), then turned (arXiv 2104.09864) by `rotations` [T, 2·half], cosines and
        sines for the pairs (i, i + half). softcap: scores become cap·tanh(score/cap); 0 for none.
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
