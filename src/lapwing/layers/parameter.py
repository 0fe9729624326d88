"""One stored tensor as a model uses it: what for, how it is held, what a pass reads of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lapwing.backends.base import Backend, BadWeightError, Floats, Layout, Matrix
from lapwing.errors import DoesNotFitError, RequestError, WeightsError
from lapwing.layers.sharing import SharedWeights
from lapwing.quant import scheme
from lapwing.quant.convert import FILE_DTYPES, held_by, narrow, narrow_turned, to_f32
from lapwing.quant.recipe import MIXED, Recipe
from lapwing.weights.lazy import LazyTensor
from lapwing.weights.store.checkpoint import StoredTensor

# tied: one matrix for token embeddings and the head
Role = Literal["linear", "head", "embedding", "tied", "position", "type", "norm", "bias"]
MATRIX_ROLES = ("linear", "head", "embedding", "tied", "position", "type")
SMALL_TABLES = ("position", "type")  # float32 beside planes


class Parameter:
    """A tensor with a role: nothing is read until `load`, or until it is used.

    `release` gives up what `load` made, and a later use makes it again; `close` is the end.
    """

    # Plain attributes, there while loaded: every operation of every token looks them up.
    matrix: Matrix  # [N, K]
    vector: Floats  # of a norm or a bias

    def __init__(
        self,
        tensor: LazyTensor,
        role: Role,
        layout: Layout,
        backend: Backend,
        recipe: Recipe,
        offset: float = 0.0,
        shared: SharedWeights | None = None,
        *,
        trusted: bool = False,
    ) -> None:
        """offset: of a norm, what is added to the stored weights.

        trusted: floats that are read in place are not looked through for infinities and NaN.
        """
        self._shared, self._trusted = shared, trusted
        self.offset = offset
        self._lock, self._closed = threading.Lock(), False
        self.tensor, self.role, self.layout = tensor, role, layout
        self.group = tensor.name  # of matrices that one operation reads, the first one's name
        self._backend, self._recipe = backend, recipe
        # Of what is bound, or was bound, before it is there: returns when it is.
        self.arrival: Callable[[], None] | None = None
        shape = tensor.shape if len(tensor.shape) == 2 else (1, *tensor.shape)
        self.N, self.K = shape if layout == "nk" else shape[::-1]

    @property
    def recipe(self) -> Recipe:
        """How it is held."""
        return self._recipe

    @property
    def stored_dtype(self) -> str:
        """Of the file."""
        return FILE_DTYPES[self.tensor.dtype]

    @property
    def quantized(self) -> bool:
        """Held as planes."""
        return self._recipe.quantized and self.role in ("linear", "head", "embedding", "tied")

    @property
    def lowered(self) -> bool:
        """A mixed pass reads the base plane alone."""
        return self.quantized and self.tensor.name in self._recipe.lowered

    @property
    def keeps_refine(self) -> bool:
        """Embedding look-ups always read both planes."""
        if self.role in ("embedding", "tied"):
            return True
        return self._recipe.refine_linears and not self.lowered

    def read_as(self, precision: str) -> str:
        """What a pass of this precision reads of it."""
        if precision != MIXED:
            return precision
        return "int4" if self.lowered else "int8"

    @property
    def held_dtype(self) -> str:
        """`base+refine`, `base`, or the float dtype that passes read."""
        if self.quantized:
            return "base+refine" if self.keeps_refine else "base"
        if self.role in ("norm", "bias") or (self.role in SMALL_TABLES and self._recipe.quantized):
            return "f32"
        wanted = self._recipe.dtype
        return self.stored_dtype if held_by(self.stored_dtype, wanted) else wanted

    @property
    def in_place(self) -> bool:
        """Read where the file's mapping has it; no memory of its own."""
        return (
            not self.quantized
            and self.role in MATRIX_ROLES
            and (self.held_dtype == self.stored_dtype)
        )

    @property
    def turned(self) -> bool:
        """A [K, N] matrix that is narrowed anyway is held as [N, K]: long runs of one output."""
        narrowed = not self.quantized and not self.in_place
        return narrowed and self.role in MATRIX_ROLES and self.layout == "kn"

    @property
    def held_bytes(self) -> int:
        """Bytes that passes read from, in memory of its own or of the mapped file."""
        if self.quantized:
            return scheme.plane_bytes(self.N, self.K, refine=self.keeps_refine)
        return self.N * self.K * (4 if self.held_dtype == "f32" else 2)

    def bytes_per_token(self, precision: str) -> int:
        """Bytes one decoded token reads: all of a linear, one row of an embedding."""
        if self.role in ("embedding", *SMALL_TABLES):
            return self.held_bytes // max(1, self.N)
        if self.quantized:
            both = self.read_as(precision) == "int8" and self.keeps_refine
            return scheme.plane_bytes(self.N, self.K, refine=both)
        return self.held_bytes

    @property
    def loaded(self) -> bool:
        """Held by the backend."""
        return "matrix" in self.__dict__ or "vector" in self.__dict__

    @property
    def held(self) -> object:
        """The matrix or vector, while it is loaded: the same object where models share it."""
        return self.__dict__.get("matrix", self.__dict__.get("vector"))

    def __getattr__(self, name: str) -> Any:
        """Only asked for what is not there: `matrix` and `vector` while nothing is loaded."""
        if name not in ("matrix", "vector"):
            raise AttributeError(name)
        self.load()
        return self.__dict__[name]

    def arrive(self) -> None:
        """Waits for what a pass over every row reads, while a reader is still bringing it."""
        if self.arrival is not None:
            self.arrival()
            self.arrival = None

    def load(self) -> None:
        """Reads, checks and converts; pages of the file that are not needed again go back.

        Raises WeightsError, DoesNotFitError, and RequestError once the model is closed.
        """
        with self._lock:
            if self.loaded:
                return
            if self._closed:
                raise RequestError(
                    f"{self.tensor.name!r} was given up: the model is closed; load it again"
                )
            try:
                self._load()
            except MemoryError:
                raise DoesNotFitError(
                    f"{self.tensor.file}: no memory for {self.tensor.name!r} ({self.held_bytes} "
                    f"bytes as {self.held_dtype}). Close other programs, or load with a smaller "
                    "dtype."
                ) from None

    def _load(self) -> None:
        if isinstance(self.tensor, StoredTensor):
            self._take(self.tensor)
            return
        self.arrive()
        data = self.tensor.get()
        if self.role in ("norm", "bias"):
            self._refuse_nonfinite(data)
            self.vector = to_f32(data, self.stored_dtype) + np.float32(self.offset)
        elif self._shared is None:
            self.matrix = self._make(data)
        else:
            how = f"{self.stored_dtype} {self.layout} {self.held_dtype} {self._backend.name}"
            self.matrix = self._shared.matrix(data, how, lambda: self._make(data))
        if not self.in_place:
            del data
            self.tensor.release()

    def _take(self, tensor: StoredTensor) -> None:
        """From a store, where everything is as passes read it."""
        if self.role in ("norm", "bias"):
            self._refuse_kept_otherwise(tensor)
            self.vector = tensor.get() + np.float32(self.offset)
        elif self._shared is None:
            self.matrix = self._bind(tensor)
        else:
            digest = f"{self.N}x{self.K} {tensor.entry.digest}"
            how = f"{self.held_dtype} {self.layout} {self._backend.name} {digest}"
            self.matrix = self._shared.known(how.encode(), lambda: self._bind(tensor))

    def _bind(self, tensor: StoredTensor) -> Matrix:
        self._refuse_kept_otherwise(tensor)
        if self.quantized:
            refine = self.keeps_refine or self.serves_both
            return self._backend.kept_planes(tensor.planes(refine=refine))
        data = tensor.get()
        if tensor.turned:
            return self._backend.dense(data.T, self.held_dtype, "nk")
        return self._backend.dense(data, self.held_dtype, self.layout)

    def _refuse_kept_otherwise(self, tensor: StoredTensor) -> None:
        """Raises WeightsError for a store that was not packed for this very use."""
        kept = "planes" if tensor.quantized else FILE_DTYPES[tensor.held_dtype]
        expected = "planes" if self.quantized else self.held_dtype
        if (kept, tensor.entry.layout) != (expected, self.layout):
            raise WeightsError(
                f"{tensor.file}: {tensor.name!r} is kept as {kept} ({tensor.entry.layout}), "
                f"expected {expected} ({self.layout}). {tensor.advice}"
            )

    @property
    def serves_both(self) -> bool:
        """A mapped refine plane costs nothing until a pass reads it, whatever was asked for."""
        return (
            isinstance(self.tensor, StoredTensor) and self.tensor.mapped and self.tensor.has_refine
        )

    def pack(self) -> dict[str, NDArray[Any]]:
        """What a store keeps of it: `base`, `factors`, `refine`; or `float`, as passes read them.

        Raises WeightsError for weights that cannot be.
        """
        data = self.tensor.get()
        if self.quantized:
            arrays = self._backend.plane_arrays(self._quantize(data))
            kept: dict[str, NDArray[Any]] = {"base": arrays.base, "factors": arrays.factors}
            if arrays.refine is not None:
                kept["refine"] = arrays.refine
            return kept
        self._refuse_nonfinite(data)
        return {"float": data if self.in_place else self._converted(data)[0]}

    def _make(self, data: NDArray[Any]) -> Matrix:
        if self.quantized:
            return self._quantize(data)
        if not (self._trusted and self.in_place):
            self._refuse_nonfinite(data)
        if self.in_place:
            return self._backend.dense(data, self.stored_dtype, self.layout)
        converted, layout = self._converted(data)
        return self._backend.dense(converted, self.held_dtype, layout)

    def _converted(self, data: NDArray[Any]) -> tuple[NDArray[Any], Layout]:
        """At the dtype that passes read, and its layout: turned, if that is worth it."""
        convert = narrow_turned if self.turned else narrow
        converted, lost = convert(data, self.stored_dtype, self.held_dtype)
        if lost is not None:
            raise self._bad(lost, data, f"does not fit {self.held_dtype}")
        return converted, "nk" if self.turned else self.layout

    def release(self) -> None:
        """Gives up what `load` made, and the pages of the file."""
        self.__dict__.pop("matrix", None)
        self.__dict__.pop("vector", None)
        self.tensor.release()

    def close(self) -> None:
        """As `release`, for good."""
        self._closed = True
        self.release()

    def _quantize(self, data: NDArray[Any]) -> Matrix:
        try:
            return self._backend.planes(
                data, self.stored_dtype, self.layout, refine=self.keeps_refine
            )
        except BadWeightError as bad:
            flat = bad.row * data.shape[1] + bad.column
            raise self._bad(flat, data, "cannot be quantized") from None

    def _refuse_nonfinite(self, data: NDArray[Any]) -> None:
        bad = self._backend.first_nonfinite(data, self.stored_dtype)
        if bad is not None:
            raise self._bad(bad, data, "is not a finite number")

    def _bad(self, flat: int, data: NDArray[Any], what: str) -> WeightsError:
        index = [int(i) for i in np.unravel_index(flat, data.shape)]
        value = float(to_f32(data.reshape(-1)[flat : flat + 1], self.stored_dtype)[0])
        return WeightsError(
            f"{self.tensor.file}: {self.tensor.name!r}{index} is {value}, which {what}. "
            "The file is damaged, or the model was saved after its training diverged."
        )
