"""A loaded language model's passes: token ids → logits, with and without caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lapwing.backends.base import Floats
from lapwing.engine.inputs import Rows, checked_ids, whole_numbers
from lapwing.engine.model import Loaded, Model
from lapwing.engine.passes import Passes
from lapwing.errors import RequestError
from lapwing.layers.kv_cache import CacheShape, KVCache
from lapwing.layers.parameter import Parameter
from lapwing.models.base import LanguageModel


@dataclass(frozen=True)
class ModelOutput:
    """logits float32: [L, V] for 1-D ids, [B, L, V] for 2-D; zeros where the mask is 0."""

    logits: Floats


class CausalForward(Model):
    """What needs no tokenizer; CausalModel adds text."""

    kind = "causal language model"

    def __init__(self, loaded: Loaded, network: LanguageModel) -> None:
        super().__init__(loaded, network.config)
        self._network = network
        self._passes = Passes(network, loaded.backend, loaded.pacer)
        loaded.pacer.learned.growth = _Growth(network, loaded.parameters)

    @cached_property
    def _cache_shape(self) -> CacheShape:
        return self._network.cache_shape

    def kv_cache(self, capacity: int | None = None) -> KVCache:
        """An empty cache for one sequence; by default with room for the whole context."""
        size = self.context_length if capacity is None else capacity
        if not 1 <= size <= self.context_length:
            raise RequestError(
                f"capacity: expected 1 to {self.context_length} positions, got {capacity!r}"
            )
        return self._loaded().kv_cache(size)

    def forward(
        self, input_ids: ArrayLike, dtype: str | None = None, *, layers: range | None = None
    ) -> Floats:
        """Logits of every position, float32: ids [L] → [L, V], ids [B, L] → [B, L, V].

        layers: range(k) stops after the first k layers and gives their hidden states, [L, D] or
        [B, L, D], before the final norm; weights of later layers are not touched.
        """
        if layers is None:
            return self(input_ids, dtype=dtype).logits
        n_layers = self._first_layers(layers)
        rows = Rows.of(input_ids, None)
        sequences = [self._checked(ids) for ids in rows.tokens()]
        self._check_open()
        precision = self._precision(dtype)
        parts = [self._passes.run_layers(ids, precision, n_layers) for ids in sequences]
        return rows.spread(parts, parts[0].shape[1])

    def _first_layers(self, layers: range) -> int:
        whole_model = len(self.layers)
        if not isinstance(layers, range) or layers != range(len(layers)):
            raise RequestError(f"layers: expected range(k), got {layers!r}")
        if len(layers) > whole_model:
            raise RequestError(f"layers: the model has {whole_model}, got {layers!r}")
        return len(layers)

    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        *,
        dtype: str | None = None,
    ) -> ModelOutput:
        """Logits of every position; where the mask is 0 there is no token, and zeros come back.

        ids [L] or [B, L], attention_mask of the same shape. Positions count the tokens of a row
        from 0, so padding may stand on either side. Rows are computed packed, without padding.
        """
        rows = Rows.of(input_ids, attention_mask)
        sequences = [self._checked(ids) for ids in rows.tokens()]
        network, precision = self._loaded(), self._precision(dtype)
        present = [i for i, ids in enumerate(sequences) if ids]
        caches = [network.kv_cache(len(sequences[i])) for i in present]
        packed = self._passes.run(
            [sequences[i] for i in present], caches, precision, last_only=False
        )
        V = self.config.vocab_size
        logits = [np.empty((0, V), np.float32)] * len(sequences)
        for i, values in zip(present, packed, strict=True):
            logits[i] = values
        return ModelOutput(rows.spread(logits, V))

    def forward_with_kv_cache(
        self,
        input_ids: ArrayLike,
        cache: KVCache | None = None,
        *,
        dtype: str | None = None,
        last_only: bool = False,
    ) -> tuple[Floats, KVCache]:
        """Appends ids [L] to the cache (a new one for None) → (logits [L, V], cache).

        `last_only` skips the head for all but the last position → [1, V].
        """
        ids = whole_numbers("input_ids", input_ids)
        if ids.ndim == 2 and ids.shape[0] == 1:
            ids = ids[0]
        if ids.ndim != 1 or ids.size == 0:
            raise RequestError(f"input_ids: expected [L] with L ≥ 1, got shape {list(ids.shape)}")
        self._check_open()
        precision = self._precision(dtype)
        cache = self.kv_cache() if cache is None else cache
        self._check_cache(cache)
        sequence = self._checked(ids.tolist(), cache)
        logits = self._passes.run(
            [sequence], [cache], precision, last_only=last_only or len(sequence) == 1
        )[0]
        return logits, cache

    def forward_with_kv_caches(
        self,
        sequences: Sequence[ArrayLike],
        caches: Sequence[KVCache],
        *,
        dtype: str | None = None,
        last_only: bool = False,
    ) -> list[Floats]:
        """As `forward_with_kv_cache`, several sequences in shared passes → logits of each.

        sequences: of ids [L], as many as caches, each of which is one sequence's own. The logits of
        each are what it gives alone.
        """
        if len(sequences) != len(caches) or not caches:
            raise RequestError(
                f"caches: expected one for each sequence, and one at least; got {len(caches)} for "
                f"{len(sequences)}"
            )
        if len({id(cache) for cache in caches}) < len(caches):
            raise RequestError("caches: one is given twice; each sequence needs its own")
        self._check_open()
        precision = self._precision(dtype)
        checked = []
        for i, (ids, cache) in enumerate(zip(sequences, caches, strict=True)):
            self._check_cache(cache)
            numbers = whole_numbers(f"sequences[{i}]", ids)
            if numbers.ndim != 1 or numbers.size == 0:
                raise RequestError(
                    f"sequences[{i}]: expected [L] with L ≥ 1, got shape {list(numbers.shape)}"
                )
            checked.append(self._checked(numbers.tolist(), cache))
        return self._passes.run(checked, caches, precision, last_only=last_only)

    # Checks.

    def _forget_passes(self) -> None:
        self._passes.forget()

    def _loaded(self) -> LanguageModel:
        self._check_open()
        return self._network

    def _checked(self, ids: Sequence[Any], cache: KVCache | None = None) -> list[int]:
        result = checked_ids(ids, self.config.vocab_size)
        held = 0 if cache is None else cache.length
        room = (self.context_length if cache is None else cache.capacity) - held
        if len(result) > room:
            raise RequestError(
                f"{held} cached + {len(result)} new tokens = {held + len(result)} exceed the "
                f"{'model' if cache is None else 'cache'}'s {held + room} positions"
            )
        return result

    def _check_cache(self, cache: KVCache) -> None:
        if cache.shape != self._cache_shape:
            raise RequestError(
                f"cache: it was made for {cache.shape}; this model's is {self._cache_shape}"
            )


class _Growth:
    """Bytes that a position adds to those a token reads, as a share of the weights."""

    def __init__(self, network: LanguageModel, parameters: Sequence[Parameter]) -> None:
        self._network, self._parameters = network, parameters
        self._known: dict[str, float] = {}

    def __call__(self, precision: str) -> float:
        if precision not in self._known:
            shape = self._network.cache_shape
            each = 4 if shape.dtype == "f32" else 2
            position = 2 * shape.layers * shape.kv_heads * shape.head_dim * each
            weights = sum(p.bytes_per_token(precision) for p in self._parameters)
            self._known[precision] = position / max(1, weights)
        return self._known[precision]
