"""What a model file is written with: layers bound to a backend and a recipe.

Building a model asks for its tensors by name and shape and reads none of them; `Ops.parameters`
lists them in order of use, to be loaded one by one.
"""

from __future__ import annotations

from lapwing.backends.base import Backend, Floats, Layout
from lapwing.layers.kv_cache import CacheShape, KVCache
from lapwing.layers.parameter import Parameter, Role
from lapwing.layers.step import Step
from lapwing.quant.recipe import Recipe
from lapwing.weights.scope import Scope


class Ops:
    """Makes layers on one backend, all with one recipe."""

    def __init__(self, backend: Backend, recipe: Recipe) -> None:
        self.backend, self.recipe = backend, recipe
        self.parameters: list[Parameter] = []

    def parameter(
        self, scope: Scope, name: str, shape: tuple[int, ...], role: Role, layout: Layout = "nk"
    ) -> Parameter:
        """Asks for a tensor and notes it for loading."""
        tensor = scope.tensor(name, shape)
        parameter = Parameter(tensor, role, layout, self.backend, self.recipe)
        self.parameters.append(parameter)
        return parameter

    def layer_norm(self, scope: Scope, D: int, eps: float) -> LayerNorm:
        """`weight` and `bias` [D]."""
        weight = self.parameter(scope, "weight", (D,), "norm")
        return LayerNorm(self.backend, weight, self.parameter(scope, "bias", (D,), "norm"), eps)

    def linear(self, scope: Scope, K: int, N: int, *, layout: Layout = "nk") -> Linear:
        """K inputs → N outputs; `weight` is [N, K], or [K, N] with layout `kn`; `bias` [N]."""
        shape = (N, K) if layout == "nk" else (K, N)
        weight = self.parameter(scope, "weight", shape, "linear", layout)
        return Linear(self.backend, weight, self.parameter(scope, "bias", (N,), "bias"))

    def embedding(self, scope: Scope, V: int, D: int, *, tied: bool) -> Embedding:
        """`weight` [V, D]; `tied`: it is the head's matrix, too."""
        role: Role = "tied" if tied else "embedding"
        return Embedding(self.backend, self.parameter(scope, "weight", (V, D), role))

    def position_embedding(self, scope: Scope, S: int, D: int) -> Parameter:
        """`weight` [S, D]: learned positions, added to an embedding."""
        return self.parameter(scope, "weight", (S, D), "position")

    def head(self, scope: Scope, D: int, V: int) -> Head:
        """`weight` [V, D] of its own."""
        return Head(self.backend, self.parameter(scope, "weight", (V, D), "head"))

    def attention(self, layer: int, n_heads: int, scale: float) -> Attention:
        """Causal attention over the caches of a step."""
        return Attention(self.backend, layer, n_heads, scale)

    def cache_shape(self, layers: int, kv_heads: int, head_dim: int) -> CacheShape:
        """Of a cache on this backend, at the recipe's dtype."""
        return CacheShape(self.backend.name, layers, kv_heads, head_dim, self.recipe.kv_dtype)

    def kv_cache(self, shape: CacheShape, capacity: int) -> KVCache:
        """An empty cache with room for `capacity` positions."""
        store = self.backend.kv_store(
            shape.layers, shape.kv_heads, shape.head_dim, capacity, shape.dtype
        )
        return KVCache(store, shape)


class LayerNorm:
    """(x − mean)/√(var + eps)·weight + bias over the last axis (arXiv 1607.06450)."""

    def __init__(self, backend: Backend, weight: Parameter, bias: Parameter, eps: float) -> None:
        self._backend, self.weight, self.bias, self.eps = backend, weight, bias, eps

    def __call__(self, x: Floats) -> Floats:
        """[T, D] → [T, D]."""
        return self._backend.layer_norm(x, self.weight.vector, self.bias.vector, self.eps)


class Linear:
    """activation(x·wᵀ + bias) + residual in one operation."""

    def __init__(self, backend: Backend, weight: Parameter, bias: Parameter) -> None:
        self._backend, self.weight, self.bias = backend, weight, bias

    def __call__(
        self,
        x: Floats,
        step: Step,
        *,
        activation: str | None = None,
        residual: Floats | None = None,
    ) -> Floats:
        """[T, K] → [T, N]."""
        return self._backend.linear(
            x,
            self.weight.matrix,
            precision=step.precision,
            bias=self.bias.vector,
            activation=activation,
            residual=residual,
        )


class Embedding:
    """Rows of a table, and, where the head is tied, logits from the same table."""

    def __init__(self, backend: Backend, weight: Parameter) -> None:
        self._backend, self.weight = backend, weight

    def __call__(self, step: Step, positions: Parameter) -> Floats:
        """Token plus position embeddings of a step → [T, D]."""
        return self._backend.embed(self.weight.matrix, step.ids, positions.matrix, step.positions)

    def as_head(self) -> Head:
        """The same matrix, read as the head."""
        return Head(self._backend, self.weight)


class Head:
    """Logits: hidden states against every row of a [V, D] matrix."""

    def __init__(self, backend: Backend, weight: Parameter) -> None:
        self._backend, self.weight = backend, weight

    def __call__(self, h: Floats, precision: str) -> Floats:
        """[T, D] → [T, V]."""
        return self._backend.linear(h, self.weight.matrix, precision=precision)


class Attention:
    """softmax(scale·q·kᵀ)·v over everything a sequence's cache holds (arXiv 1706.03762)."""

    def __init__(self, backend: Backend, layer: int, n_heads: int, scale: float) -> None:
        self._backend, self.layer, self.n_heads, self.scale = backend, layer, n_heads, scale

    def __call__(self, qkv: Floats, step: Step) -> Floats:
        """[T, (H + 2·Hkv)·Dh] → [T, H·Dh]; appends keys and values to the step's caches."""
        return self._backend.attend(
            qkv,
            step.stores,
            step.lengths,
            layer=self.layer,
            n_heads=self.n_heads,
            scale=self.scale,
        )
