"""A loaded model: immutable, shared between sessions."""

from __future__ import annotations

import operator
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lapwing.backends.base import Backend, Floats
from lapwing.engine.generate import TextStream
from lapwing.engine.request import GenerationRequest
from lapwing.engine.result import GenerationResult
from lapwing.engine.session import Session, run
from lapwing.errors import RequestError
from lapwing.layers.kv_cache import KVCache
from lapwing.layers.parameter import Parameter
from lapwing.models.base import LanguageModel, ModelConfig
from lapwing.quant.recipe import Recipe, parse_dtype
from lapwing.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    from lapwing.text.tokenizer import Tokenizer

Ids = Sequence[int]


@dataclass(frozen=True)
class ModelOutput:
    """logits float32: [L, V] for 1-D ids, [B, L, V] for 2-D; zeros where the mask is 0."""

    logits: Floats


class Model:
    """Made by `lapwing.load`. Close it, or use it in a `with` statement, to free its memory."""

    def __init__(
        self,
        network: LanguageModel,
        checkpoint: Checkpoint,
        parameters: list[Parameter],
        backend: Backend,
        recipe: Recipe,
        tokenizer: Future[Tokenizer],
        eos: frozenset[int],
        *,
        requested_dtype: str,
        load_s: float,
    ) -> None:
        self._network: LanguageModel | None = network
        self._checkpoint, self._backend, self._recipe = checkpoint, backend, recipe
        self._tokenizer, self._eos = tokenizer, eos
        self.parameters = parameters
        self.config: ModelConfig = network.config
        self.requested_dtype = requested_dtype
        self.load_s = load_s
        self.device = "cpu"

    # What was chosen.

    @property
    def dtype(self) -> str:
        """Precision of a pass that names none."""
        return self._recipe.dtype

    @property
    def stored_dtype(self) -> str:
        """Of the file's matrices; several are joined by '+'."""
        found = {p.stored_dtype for p in self.parameters if p.role not in ("norm", "bias")}
        return "+".join(sorted(found))

    @property
    def backend(self) -> str:
        """`cpu` (compiled) or `reference` (NumPy)."""
        return self._backend.name

    @property
    def isa(self) -> str:
        """Instruction set of the kernels."""
        return self._backend.isa

    @property
    def threads(self) -> int:
        """Threads an operation is split over; may be set between calls."""
        return self._backend.threads

    @threads.setter
    def threads(self, threads: int) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 1024:
            raise RequestError(f"threads: expected a number from 1 to 1024, got {threads!r}")
        self._backend.threads = threads

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together, at most."""
        return self.config.context_length

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Tokens that end a text; empty where the checkpoint names none."""
        return self._eos

    @property
    def tokenizer(self) -> Tokenizer:
        """Text ↔ ids. Raises TokenizerError where the model's directory has none."""
        return self._tokenizer.result()

    def estimate_memory_usage(self) -> int:
        """Bytes of the weights as held: every tensor counted, a tied one once; no cache."""
        return sum(parameter.held_bytes for parameter in self.parameters)

    # Passes.

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
        ids = _as_array(input_ids)
        if ids.ndim not in (1, 2) or ids.size == 0:
            raise RequestError(f"input_ids: expected [L] or [B, L], got shape {list(ids.shape)}")
        if not np.issubdtype(ids.dtype, np.integer):
            raise RequestError(f"input_ids: expected whole numbers, got {ids.dtype}")
        mask = np.ones(ids.shape, bool) if attention_mask is None else np.asarray(attention_mask)
        if mask.shape != ids.shape:
            raise RequestError(
                f"attention_mask: expected shape {list(ids.shape)}, got {list(mask.shape)}"
            )
        rows, live = np.atleast_2d(ids), np.atleast_2d(mask != 0)
        sequences = [
            self._checked(row[keep].tolist()) for row, keep in zip(rows, live, strict=True)
        ]
        network, precision = self._loaded(), self._precision(dtype)
        present = [i for i, ids_of in enumerate(sequences) if ids_of]
        caches = [network.kv_cache(len(sequences[i])) for i in present]
        packed = run(network, [sequences[i] for i in present], caches, precision, last_only=False)
        logits = np.zeros((*rows.shape, self.config.vocab_size), np.float32)
        for i, values in zip(present, packed, strict=True):
            logits[i, live[i]] = values
        return ModelOutput(logits if ids.ndim == 2 else logits[0])

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
        ids = _as_array(input_ids)
        if ids.ndim == 2 and ids.shape[0] == 1:
            ids = ids[0]
        if ids.ndim != 1 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
            raise RequestError(
                f"input_ids: expected whole numbers [L] with L ≥ 1, got {ids.dtype} of shape "
                f"{list(ids.shape)}"
            )
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

    # Checks.

    def _loaded(self) -> LanguageModel:
        if self._network is None:
            raise RequestError("the model is closed; load it again")
        return self._network

    def _precision(self, dtype: str | None) -> str:
        if dtype is None:
            return self.dtype
        wanted = parse_dtype(dtype)
        if wanted not in self._recipe.precisions:
            hint = (
                " It holds base planes only; load it as int8 to have both."
                if (self.dtype, wanted) == ("int4", "int8")
                else f" Load it with dtype={wanted!r} for that."
            )
            raise RequestError(
                f"dtype: the model was loaded as {self.dtype} and serves "
                f"{', '.join(self._recipe.precisions)}; got {wanted}.{hint}"
            )
        return wanted

    def _checked(self, ids: Sequence[Any], cache: KVCache | None = None) -> list[int]:
        V = self.config.vocab_size
        result = []
        for at, token in enumerate(ids):
            try:
                result.append(operator.index(token))
            except TypeError:
                raise RequestError(f"token {at}: expected a whole number, got {token!r}") from None
            if not 0 <= result[-1] < V:
                raise RequestError(f"token {at}: {result[-1]} is outside the vocabulary [0, {V})")
        held = 0 if cache is None else cache.length
        room = (self.context_length if cache is None else cache.capacity) - held
        if len(result) > room:
            raise RequestError(
                f"{held} cached + {len(result)} new tokens = {held + len(result)} exceed the "
                f"{'model' if cache is None else 'cache'}'s {held + room} positions"
            )
        return result

    # End of life.

    def close(self) -> None:
        """Frees weights and unmaps files; a second call does nothing."""
        if self._network is None:
            return
        self._network = None
        for parameter in self.parameters:
            parameter.release()
        self._checkpoint.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _as_array(input_ids: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(input_ids)
    except ValueError:
        raise RequestError(
            "input_ids: expected [L] or [B, L], got rows of different lengths. Pad them, and give "
            "an attention_mask that is 0 where they are padded."
        ) from None
