"""A loaded language model that continues text: passes, generation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from lapwing.backends.base import Floats
from lapwing.engine.generate import TextStream
from lapwing.engine.inputs import Rows, checked_ids, whole_numbers
from lapwing.engine.model import Ids, Loaded, Model
from lapwing.engine.request import GenerationRequest
from lapwing.engine.result import GenerationResult
from lapwing.engine.session import Session, run
from lapwing.errors import RequestError
from lapwing.layers.kv_cache import KVCache
from lapwing.models.base import LanguageModel


@dataclass(frozen=True)
class ModelOutput:
    """logits float32: [L, V] for 1-D ids, [B, L, V] for 2-D; zeros where the mask is 0."""

    logits: Floats


class CausalModel(Model):
    """Continues text."""

    kind = "causal language model"
    verbs = ("generate", "stream", "forward", "forward_with_kv_cache")

    def __init__(self, loaded: Loaded, network: LanguageModel, eos: frozenset[int]) -> None:
        super().__init__(loaded, network.config)
        self._network, self._eos = network, eos

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Tokens that end a text; empty where the checkpoint names none."""
        return self._eos

    def kv_cache(self, capacity: int | None = None) -> KVCache:
        """An empty cache for one sequence; by default with room for the whole context."""
        size = self.context_length if capacity is None else capacity
        if not 1 <= size <= self.context_length:
            raise RequestError(
                f"capacity: expected 1 to {self.context_length} positions, got {capacity!r}"
            )
        return self._loaded().kv_cache(size)

    def forward(self, input_ids: ArrayLike, dtype: str | None = None) -> Floats:
        """Logits of every position, float32: ids [L] → [L, V], ids [B, L] → [B, L, V]."""
        return self(input_ids, dtype=dtype).logits

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
        packed = run(network, [sequences[i] for i in present], caches, precision, last_only=False)
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
        network, precision = self._loaded(), self._precision(dtype)
        cache = self.kv_cache() if cache is None else cache
        if cache.shape != network.cache_shape:
            raise RequestError(
                f"cache: it was made for {cache.shape}; this model's is {network.cache_shape}"
            )
        sequence = self._checked(ids.tolist(), cache)
        logits = run(network, [sequence], [cache], precision, last_only=last_only)[0]
        return logits, cache

    # Text.

    def generate(self, prompt: str | Ids, **arguments: Any) -> GenerationResult:
        """Continues a prompt (text, or token ids).

        Arguments: those of GenerationRequest (max_tokens, temperature, seed, stop, dtype,
        ignore_eos); `max_new_tokens` and `do_sample` are understood, too.
        """
        stream = self.stream(prompt, **arguments)
        for _ in stream:
            pass
        return stream.result

    def stream(self, prompt: str | Ids, **arguments: Any) -> TextStream:
        """As `generate`, piece by piece; `.result` of the stream is the answer so far."""
        started_s = time.perf_counter()
        request = GenerationRequest.of(arguments)
        network, precision = self._loaded(), self._precision(request.dtype)
        text = isinstance(prompt, str)
        if isinstance(prompt, (bytes, bytearray)) or not hasattr(prompt, "__iter__"):
            raise RequestError(f"prompt: expected text or token ids, got {prompt!r}")
        ids = self._checked(self.tokenizer.encode(cast(str, prompt)) if text else list(prompt))
        if not ids:
            ids = self._begin_of_text()
        max_tokens = request.room(len(ids), self.context_length)
        has_text = text or self._tokenizer.exception() is None
        if request.stop and not has_text:
            raise RequestError("stop: stop strings need a tokenizer, and this model has none")
        return TextStream(
            Session(network, network.kv_cache(len(ids) + max_tokens)),
            ids,
            request,
            max_tokens=max_tokens,
            eos=self._eos,
            decoder=self.tokenizer.stream() if has_text else None,
            precision=precision,
            describe=self._describe,
            started_s=started_s,
        )

    def _describe(self, **values: Any) -> GenerationResult:
        values["timings"] = replace(values["timings"], load_s=self.load_s)
        return GenerationResult(**values, backend=self.backend, isa=self.isa, threads=self.threads)

    def _begin_of_text(self) -> list[int]:
        bos = self._checkpoint.config.get("bos_token_id")
        if not isinstance(bos, int):
            raise RequestError(
                "the prompt is empty, and the model names no token to begin a text with. "
                "Give at least one token."
            )
        return self._checked([bos])

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
