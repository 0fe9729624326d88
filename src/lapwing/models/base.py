"""What the engine needs of a family."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

from lapwing.backends.base import Floats
from lapwing.layers.kv_cache import CacheShape, KVCache
from lapwing.layers.step import EncoderPass, Pass, Step


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

    def hidden(self, step: Step, n_layers: int) -> Floats:
        """h [T, D] after the first n_layers, without the final norm; caches are not advanced."""
        ...

    def logits(self, h: Floats, precision: str) -> Floats:
        """[T, D] → [T, V]."""
        ...

    def variant(self, capacities: Sequence[int]) -> Hashable:
        """What a pass depends on beside its tokens: the same for passes of the same operations.

        capacities: of the caches. None where they differ in what they ask for.
        """
        ...

    @property
    def cache_shape(self) -> CacheShape:
        """Of a cache that fits this model."""
        ...

    def kv_cache(self, capacity: int) -> KVCache:
        """An empty cache for one sequence."""
        ...


class Encoder(Protocol):
    """Hidden states of whole sequences, and the heads a checkpoint may have."""

    @property
    def config(self) -> EncoderConfig:
        """Of the checkpoint."""
        ...

    @property
    def pooler(self) -> Head | None:
        """h of first tokens [B, D] → [B, D]."""
        ...

    @property
    def masked_head(self) -> Head | None:
        """h [T, D] → logits over the vocabulary [T, V]."""
        ...

    @property
    def label_head(self) -> Head | None:
        """h of first tokens [B, D] → logits over the labels [B, labels]."""
        ...

    def __call__(self, step: EncoderPass) -> Floats:
        """h [T, D]."""
        ...


class Head(Protocol):
    """What a checkpoint makes of hidden states."""

    def __call__(self, h: Floats, step: Pass, /) -> Floats:
        """One row a row of h."""
        ...


class EncoderConfig(ModelConfig, Protocol):
    """What the engine needs of an encoder's configuration."""

    @property
    def hidden_size(self) -> int:
        """D."""
        ...

    @property
    def intermediate_size(self) -> int:
        """F."""
        ...

    @property
    def type_vocab_size(self) -> int:
        """Token types; 0 where the model knows none."""
        ...

    @property
    def first_position(self) -> int:
        """Index of a sequence's first token."""
        ...

    @property
    def pad_token_id(self) -> int | None:
        """A token that stands at no position; None where all do."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the label head."""
        ...

    @property
    def problem_type(self) -> str | None:
        """How its logits become scores; None: by the number of labels."""
        ...
