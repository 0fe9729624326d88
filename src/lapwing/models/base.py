"""What the engine needs of a family."""

from __future__ import annotations

from typing import Protocol

from lapwing.backends.base import Floats
from lapwing.layers.kv_cache import CacheShape, KVCache
from lapwing.layers.step import Step


class ModelConfig(Protocol):
    """A frozen dataclass with the checkpoint's own keys, plus these."""

    @property
    def model_type(self) -> str:
        """As config.json names the family."""
        ...

    @property
    def vocab_size(self) -> int:
        """V."""
        ...

    @property
    def context_length(self) -> int:
        """Positions the model knows."""
        ...


class LanguageModel(Protocol):
    """Hidden states of a step, and logits of hidden states."""

    @property
    def config(self) -> ModelConfig:
        """Of the checkpoint."""
        ...

    def __call__(self, step: Step) -> Floats:
        """Runs the step and completes its caches → h [T, D], after the final norm."""
        ...

    def logits(self, h: Floats, precision: str) -> Floats:
        """[T, D] → [T, V]."""
        ...

    @property
    def cache_shape(self) -> CacheShape:
        """Of a cache that fits this model."""
        ...

    def kv_cache(self, capacity: int) -> KVCache:
        """An empty cache for one sequence."""
        ...
