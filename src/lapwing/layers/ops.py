"""What a model file is written with: layers bound to a backend and a recipe.

Building a model asks for its tensors by name and shape and reads none of them; `Ops.parameters`
lists them in order of use, to be loaded one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

from lapwing.backends.base import Backend, Floats, HeadNorms, Ids, Layout
from lapwing.errors import ConfigError
from lapwing.layers.kv_cache import CacheShape, KVCache
from lapwing.layers.parameter import Parameter, Role
from lapwing.layers.rotary import Frequencies, Rotary
from lapwing.layers.sharing import SharedWeights
from lapwing.layers.step import Pass, Step
from lapwing.quant.recipe import Recipe
from lapwing.weights.scope import Scope


class Ops:
    """Makes layers on one backend, all with one recipe; shared: with other models' weights."""

    def __init__(
        self,
        backend: Backend,
        recipe: Recipe,
        shared: SharedWeights | None = None,
        *,
        trusted: bool = False,
    ) -> None:
        self.backend, self.recipe, self.shared, self.trusted = backend, recipe, shared, trusted
        self.parameters: list[Parameter] = []

    def parameter(
        self,
        scope: Scope,
        name: str,
        shape: tuple[int, ...],
        role: Role,
        layout: Layout = "nk",
        *,
        offset: float = 0.0,
    ) -> Parameter:
        """Asks for a tensor and notes it for loading."""
        tensor = scope.tensor(name, shape)
        parameter = Parameter(
            tensor,
            role,
            layout,
            self.backend,
            self.recipe,
            offset,
            self.shared,
            trusted=self.trusted,
        )
        self.parameters.append(parameter)
        return parameter

    def layer_norm(self, scope: Scope, D: int, eps: float) -> LayerNorm:
        """`weight` and `bias` [D]; `gamma` and `beta` in checkpoints that began in TensorFlow."""
        names = ("gamma", "beta") if scope.has("gamma") else ("weight", "bias")
        weight, bias = (self.parameter(scope, name, (D,), "norm") for name in names)
        return LayerNorm(self.backend, weight, bias, eps)

    def rms_norm(self, scope: Scope, D: int, eps: float, *, offset: float = 0.0) -> RMSNorm:
        """`weight` [D]; offset: what is added to it (Gemma stores its distance from 1)."""
        weight = self.parameter(scope, "weight", (D,), "norm", offset=offset)
        return RMSNorm(self.backend, weight, eps)

    def rotary(self, frequencies: Frequencies) -> Rotary:
        """Rotary positions of all layers that share their frequencies."""
        return Rotary(self.backend, frequencies)

    def linear(
        self, scope: Scope, K: int, N: int, *, layout: Layout = "nk", bias: bool = True
    ) -> Linear:
        """K inputs → N outputs; `weight` is [N, K], or [K, N] with layout `kn`; `bias` [N]."""
        return Linear(self.backend, *self._weight_and_bias(scope, K, N, layout, bias))

    def joined_linear(
        self, scopes: Sequence[Scope], K: int, sizes: Sequence[int], *, bias: bool = True
    ) -> JoinedLinear:
        """One `linear` a scope, of K inputs → so many outputs, all of the same x."""
        return JoinedLinear(self.backend, self._pairs(scopes, K, sizes, bias))

    def gated_linear(
        self,
        scopes: Sequence[Scope],
        K: int,
        sizes: Sequence[int],
        activation: str,
        *,
        bias: bool = False,
    ) -> GatedLinear:
        """activation(gate(x))·up(x): scopes of gate and up, or of one matrix with both."""
        return GatedLinear(self.backend, self._pairs(scopes, K, sizes, bias), activation)

    def _pairs(
        self, scopes: Sequence[Scope], K: int, sizes: Sequence[int], bias: bool
    ) -> list[tuple[Parameter, Parameter | None]]:
        pairs = [
            self._weight_and_bias(scope, K, N, "nk", bias)
            for scope, N in zip(scopes, sizes, strict=True)
        ]
        first = pairs[0][0]
        for weight, _ in pairs:
            weight.group = first.group
            if weight.lowered != first.lowered:
                raise ConfigError(
                    f"the plan reads {first.tensor.name!r} and {weight.tensor.name!r} differently, "
                    "and one operation reads both. Give both the same precision."
                )
        return pairs

    def _weight_and_bias(
        self, scope: Scope, K: int, N: int, layout: Layout, bias: bool
    ) -> tuple[Parameter, Parameter | None]:
        shape = (N, K) if layout == "nk" else (K, N)
        weight = self.parameter(scope, "weight", shape, "linear", layout)
        return weight, self.bias(scope, "bias", N) if bias else None

    def embedding(self, scope: Scope, V: int, D: int, *, tied: bool) -> Embedding:
        """`weight` [V, D]; `tied`: it is the head's matrix, too."""
        role: Role = "tied" if tied else "embedding"
        return Embedding(self.backend, self.parameter(scope, "weight", (V, D), role))

    def position_embedding(self, scope: Scope, S: int, D: int) -> Parameter:
        """`weight` [S, D]: learned positions, added to an embedding."""
        return self.parameter(scope, "weight", (S, D), "position")

    def type_embedding(self, scope: Scope, types: int, D: int) -> Parameter:
        """`weight` [types, D]: which part of a pair a token is of, added to an embedding."""
        return self.parameter(scope, "weight", (types, D), "type")

    def head(self, scope: Scope, D: int, V: int, bias: Parameter | None = None) -> Head:
        """`weight` [V, D] of its own."""
        return Head(self.backend, self.parameter(scope, "weight", (V, D), "head"), bias)

    def bias(self, scope: Scope, name: str, N: int) -> Parameter:
        """[N], stored apart from its matrix."""
        return self.parameter(scope, name, (N,), "bias")

    def pool(self, x: Floats, step: Pass, pooling: str) -> Floats:
        """The rows of each sequence of x [T, D] become one (backends.base.POOLINGS) → [B, D]."""
        return self.backend.pool(x, step.lengths, pooling)

    def unit_length(self, x: Floats) -> Floats:
        """Every row divided by its Euclidean length."""
        return self.backend.unit_length(x)

    def attention(
        self,
        layer: int,
        n_heads: int,
        scale: float,
        *,
        softcap: float = 0.0,
        norms: tuple[RMSNorm, RMSNorm] | None = None,
    ) -> Attention:
        """Causal attention over the caches of a step; norms: of heads of queries and keys."""
        return Attention(self.backend, layer, n_heads, scale, softcap, norms)

    def bidirectional_attention(self, n_heads: int, scale: float) -> BidirectionalAttention:
        """Attention of whole sequences to themselves."""
        return BidirectionalAttention(self.backend, n_heads, scale)

    def cache_shape(
        self, layers: int, kv_heads: int, head_dim: int, windows: Sequence[int] = ()
    ) -> CacheShape:
        """Of a cache on this backend, at the recipe's dtype."""
        seen = tuple(windows) if any(windows) else ()
        return CacheShape(self.backend.name, layers, kv_heads, head_dim, self.recipe.kv_dtype, seen)

    def kv_cache(self, shape: CacheShape, capacity: int) -> KVCache:
        """An empty cache with room for `capacity` positions."""
        store = self.backend.kv_store(
            shape.layers, shape.kv_heads, shape.head_dim, capacity, shape.dtype, shape.windows
        )
        return KVCache(store, shape)


class LayerNorm:
    """(x − mean)/√(var + eps)·weight + bias over the last axis (arXiv 1607.06450)."""

    def __init__(self, backend: Backend, weight: Parameter, bias: Parameter, eps: float) -> None:
        self._backend, self.weight, self.bias, self.eps = backend, weight, bias, eps

    def __call__(self, x: Floats) -> Floats:
        """[T, D] → [T, D]."""
        return self._backend.layer_norm(x, self.weight.vector, self.bias.vector, self.eps)


class RMSNorm:
    """x/√(mean(x²) + eps)·weight over the last axis (arXiv 1910.07467)."""

    def __init__(self, backend: Backend, weight: Parameter, eps: float) -> None:
        self._backend, self.weight, self.eps = backend, weight, eps

    def __call__(self, x: Floats, residual: Floats | None = None) -> Floats:
        """[T, D] → [T, D], plus the residual."""
        return self._backend.rms_norm(x, self.weight.vector, self.eps, residual=residual)


class Linear:
    """activation(x·wᵀ + bias) + residual in one operation."""

    def __init__(self, backend: Backend, weight: Parameter, bias: Parameter | None) -> None:
        self._backend, self.weight, self.bias = backend, weight, bias

    def __call__(
        self,
        x: Floats,
        step: Pass,
        *,
        activation: str | None = None,
        residual: Floats | None = None,
    ) -> Floats:
        """[T, K] → [T, N]."""
        return self._backend.linear(
            x,
            self.weight.matrix,
            precision=self.weight.read_as(step.precision),
            bias=None if self.bias is None else self.bias.vector,
            activation=activation,
            residual=residual,
        )


class JoinedLinear:
    """Several x·wᵀ + bias of the same x in one operation, side by side."""

    def __init__(
        self, backend: Backend, pairs: Sequence[tuple[Parameter, Parameter | None]]
    ) -> None:
        self._backend, self.pairs = backend, pairs

    def __call__(self, x: Floats, step: Pass) -> Floats:
        """[T, K] → [T, ΣN]."""
        return self._backend.linear_joined(
            x,
            [weight.matrix for weight, _ in self.pairs],
            precision=self.pairs[0][0].read_as(step.precision),
            biases=[None if bias is None else bias.vector for _, bias in self.pairs],
        )


class GatedLinear:
    """activation(gate(x))·up(x) in one operation (arXiv 2002.05202)."""

    def __init__(
        self,
        backend: Backend,
        pairs: Sequence[tuple[Parameter, Parameter | None]],
        activation: str,
    ) -> None:
        self._backend, self.pairs, self.activation = backend, pairs, activation

    def __call__(self, x: Floats, step: Pass) -> Floats:
        """[T, K] → [T, F]."""
        return self._backend.gated_linear(
            x,
            [weight.matrix for weight, _ in self.pairs],
            precision=self.pairs[0][0].read_as(step.precision),
            biases=[None if bias is None else bias.vector for _, bias in self.pairs],
            activation=self.activation,
        )


class Embedding:
    """Rows of a table, and, where the head is tied, logits from the same table."""

    def __init__(self, backend: Backend, weight: Parameter) -> None:
        self._backend, self.weight = backend, weight

    def scaled(self, ids: Ids, scale: float) -> Floats:
        """Rows of `ids` [T] times `scale` → [T, D]."""
        return self._backend.embed([self.weight.matrix], [ids], scale)

    def __call__(self, ids: Ids, *added: tuple[Parameter, Ids]) -> Floats:
        """Rows of `ids` [T] plus rows of other tables (positions, types) → [T, D]."""
        tables = [self.weight.matrix, *(table.matrix for table, _ in added)]
        return self._backend.embed(tables, [ids, *(at for _, at in added)])

    def as_head(self, bias: Parameter | None = None) -> Head:
        """The same matrix, read as the head."""
        return Head(self._backend, self.weight, bias)


class Head:
    """Logits: hidden states against every row of a [V, D] matrix."""

    def __init__(self, backend: Backend, weight: Parameter, bias: Parameter | None = None) -> None:
        self._backend, self.weight, self.bias = backend, weight, bias

    def __call__(self, h: Floats, precision: str, *, softcap: float = 0.0) -> Floats:
        """[T, D] → [T, V]; softcap: logits become cap·tanh(logit/cap); 0 for none."""
        self.weight.arrive()
        bias = None if self.bias is None else self.bias.vector
        read = self.weight.read_as(precision)
        logits = self._backend.linear(h, self.weight.matrix, precision=read, bias=bias)
        return self._backend.soft_cap(logits, softcap) if softcap else logits


class Attention:
    """softmax(scale·q·kᵀ)·v over everything a sequence's cache holds (arXiv 1706.03762)."""

    def __init__(
        self,
        backend: Backend,
        layer: int,
        n_heads: int,
        scale: float,
        softcap: float,
        norms: tuple[RMSNorm, RMSNorm] | None,
    ) -> None:
        self._backend, self.layer, self.n_heads, self.scale = backend, layer, n_heads, scale
        self.softcap, self.norms = softcap, norms

    def __call__(self, qkv: Floats, step: Step, rotations: Floats | None = None) -> Floats:
        """[T, (H + 2·Hkv)·Dh] → [T, H·Dh]; appends keys and values to the step's caches.

        rotations: of the step, by Rotary; without, positions turn nothing.
        """
        norms = None
        if self.norms is not None:
            query, key = self.norms
            norms = HeadNorms(query.weight.vector, key.weight.vector, query.eps)
        return self._backend.attend(
            qkv,
            step.stores,
            step.lengths,
            layer=self.layer,
            n_heads=self.n_heads,
            scale=self.scale,
            softcap=self.softcap,
            rotations=rotations,
            norms=norms,
        )


class BidirectionalAttention:
    """softmax(scale·q·kᵀ)·v among all tokens of each sequence."""

    def __init__(self, backend: Backend, n_heads: int, scale: float) -> None:
        self._backend, self.n_heads, self.scale = backend, n_heads, scale

    def __call__(self, qkv: Floats, step: Pass) -> Floats:
        """[T, 3·H·Dh] → [T, H·Dh]."""
        return self._backend.attend_bidirectional(
            qkv, step.lengths, n_heads=self.n_heads, scale=self.scale
        )
