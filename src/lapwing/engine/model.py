"""A loaded model: immutable, shared between sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from numpy.typing import ArrayLike

from lapwing.backends.base import Backend, Floats
from lapwing.backends.machine import trim_heap
from lapwing.engine.acting import bind
from lapwing.engine.checks import checked_threads
from lapwing.engine.layers import LayerHandle, layers_of, outside_of
from lapwing.errors import RequestError
from lapwing.layers.parameter import Parameter
from lapwing.models.base import ModelConfig
from lapwing.power.pacing.pacer import Pacer
from lapwing.quant.recipe import MIXED, Recipe, parse_dtype
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.fingerprint import fingerprint
from lapwing.weights.lazy import LazyTensor
from lapwing.weights.store.checkpoint import StoredCheckpoint

if TYPE_CHECKING:
    from lapwing.engine.generate import TextStream
    from lapwing.engine.loading import Loading
    from lapwing.engine.result import (
        EmbeddedTexts,
        Filling,
        GenerationResult,
        Label,
        Ranked,
    )
    from lapwing.layers.kv_cache import KVCache
    from lapwing.text.chat import ChatTemplate
    from lapwing.text.tokenizer import Tokenizer

Ids = Sequence[int]
Text = str | tuple[str, str]  # or a pair


@dataclass(frozen=True)
class Loaded:
    """What `lapwing.load` has made, whatever the family."""

    checkpoint: Checkpoint
    parameters: list[Parameter]
    backend: Backend
    recipe: Recipe
    tokenizer: Future[Tokenizer]
    requested_dtype: str
    load_s: float
    load: str
    loading: Loading | None
    pacer: Pacer


class Model:
    """Made by `lapwing.load`. Close it, or use it in a `with` statement, to free its memory.

    Every verb stands here. A family answers those it has the mathematics for (CausalModel,
    EncoderModel) and refuses the others by name, with what it does instead.
    """

    kind = "model"
    verbs: tuple[str, ...] = ()

    def __init__(self, loaded: Loaded, config: ModelConfig) -> None:
        self._open = True
        self._checkpoint, self._backend = loaded.checkpoint, loaded.backend
        self._recipe, self._tokenizer = loaded.recipe, loaded.tokenizer
        self.parameters = loaded.parameters
        self.config = config
        self.requested_dtype = loaded.requested_dtype
        self.load_s = loaded.load_s
        self.load, self.loading = loaded.load, loaded.loading
        self.device = "cpu"
        self.governor = loaded.pacer
        bind(loaded.pacer, self)

    # What was chosen.

    @property
    def dtype(self) -> str:
        """Precision of a pass that names none."""
        return self._recipe.precision

    @cached_property
    def precisions(self) -> tuple[str, ...]:
        """What a pass can be asked for. A mapped store of both planes serves int8 and int4.

        `mixed` is that of a plan.
        """
        linears = [p for p in self.parameters if p.quantized]
        both = linears and all(p.keeps_refine or p.serves_both for p in linears)
        mixed = (MIXED,) if self.dtype == MIXED else ()
        return (*mixed, "int8", "int4") if both else self._recipe.precisions

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
        """Threads a pass of a few tokens is split over (decode); may be set between calls.

        Setting it sets those of prefill, too.
        """
        return self._backend.threads

    @threads.setter
    def threads(self, threads: int) -> None:
        self._backend.threads = checked_threads(threads)

    @property
    def prefill_threads(self) -> int:
        """Those of a pass of more tokens; set behind `threads`, which sets both."""
        return self._backend.prefill_threads

    @prefill_threads.setter
    def prefill_threads(self, threads: int) -> None:
        self._backend.prefill_threads = checked_threads(threads)

    @property
    def context_length(self) -> int:
        """Tokens of a sequence, at most; of prompt and answer together."""
        return self.config.context_length

    @property
    def tokenizer(self) -> Tokenizer:
        """Text ↔ ids. Raises TokenizerError where the model's directory has none."""
        return self._tokenizer.result()

    @property
    def tensors(self) -> Mapping[str, LazyTensor]:
        """Every tensor of the checkpoint by its name: known, and not read before `get`.

        Those of a model that runs from a store alone are what the store keeps.
        """
        self._check_open()
        return self._original.tensors

    @cached_property
    def _original(self) -> Checkpoint:
        """The checkpoint that a store was made from, while that is there."""
        directory = self._checkpoint.directory
        if isinstance(self._checkpoint, StoredCheckpoint) and isinstance(directory, Path):
            return Checkpoint(directory)
        return self._checkpoint

    @property
    def weights_digest(self) -> str | None:
        """The same for equal weights, kept alike; None without a store, which alone knows it."""
        checkpoint = self._checkpoint
        return checkpoint.digest if isinstance(checkpoint, StoredCheckpoint) else None

    @cached_property
    def fingerprint(self) -> str | None:
        """The same for the same checkpoint, wherever it lies; None where a store is all there is.

        Sees the configuration, and of every tensor name, dtype, shape, first and last bytes.
        """
        self._check_open()
        return fingerprint(self._original)

    @cached_property
    def layers(self) -> tuple[LayerHandle, ...]:
        """What each layer holds, to be loaded and given up apart."""
        return layers_of(self.parameters, self._forget_passes)

    @cached_property
    def embedding(self) -> LayerHandle:
        """What comes before the first layer; a tied head is in it."""
        return outside_of(self.parameters, self._forget_passes)[0]

    @cached_property
    def head(self) -> LayerHandle:
        """What comes behind the last layer: the final norm, and a head of its own."""
        return outside_of(self.parameters, self._forget_passes)[1]

    def estimate_memory_usage(self) -> int:
        """Bytes of the weights as held: every tensor counted, a tied one once; no cache."""
        return sum(parameter.held_bytes for parameter in self.parameters)

    @property
    def _rise(self) -> Callable[[], str] | None:
        """The precision of a pass that names none, while that still rises."""
        loading = self.loading
        if loading is None or not loading.rising:
            return None
        return lambda: loading.precision(self.dtype)

    # Verbs.

    def generate(self, prompt: str | Ids, **arguments: Any) -> GenerationResult:
        """See CausalModel."""
        self._cannot("generate")

    def stream(self, prompt: str | Ids, **arguments: Any) -> TextStream:
        """See CausalModel."""
        self._cannot("stream")

    def batch_generate(
        self,
        prompts: Iterable[str | Ids],
        arguments: Sequence[Mapping[str, Any]] | None = None,
        *,
        batch_size: int = 32,
        on_result: Callable[[int, GenerationResult], None] | None = None,
        **common: Any,
    ) -> list[GenerationResult]:
        """See CausalModel."""
        self._cannot("batch_generate")

    @property
    def chat_template(self) -> ChatTemplate:
        """See CausalModel."""
        self._cannot("chat")

    def chat(self, messages: Sequence[Mapping[str, Any]], **arguments: Any) -> GenerationResult:
        """See CausalModel."""
        self._cannot("chat")

    def chat_stream(self, messages: Sequence[Mapping[str, Any]], **arguments: Any) -> TextStream:
        """See CausalModel."""
        self._cannot("chat_stream")

    def kv_cache(self, capacity: int | None = None) -> KVCache:
        """See CausalModel."""
        self._cannot("kv_cache")

    def forward(
        self, input_ids: ArrayLike, dtype: str | None = None, *, layers: range | None = None
    ) -> Floats:
        """See CausalModel."""
        self._cannot("forward")

    def forward_with_kv_cache(
        self,
        input_ids: ArrayLike,
        cache: KVCache | None = None,
        *,
        dtype: str | None = None,
        last_only: bool = False,
    ) -> tuple[Floats, KVCache]:
        """See CausalModel."""
        self._cannot("forward_with_kv_cache")

    def forward_with_kv_caches(
        self,
        sequences: Sequence[ArrayLike],
        caches: Sequence[KVCache],
        *,
        dtype: str | None = None,
        last_only: bool = False,
    ) -> list[Floats]:
        """See CausalModel."""
        self._cannot("forward_with_kv_caches")

    def embed(
        self,
        texts: str | Iterable[str],
        normalize: bool = True,
        batch_size: int | str = "auto",
        **arguments: Any,
    ) -> Floats:
        """See EncoderModel."""
        self._cannot("embed")

    def embed_stream(
        self,
        texts: Iterable[str],
        normalize: bool = True,
        batch_size: int | str = "auto",
        *,
        max_length: int | None = None,
        truncate: bool = True,
        prompt_name: str | None = None,
        dtype: str | None = None,
    ) -> Iterator[EmbeddedTexts]:
        """See EncoderModel."""
        self._cannot("embed_stream")

    @property
    def embedding_size(self) -> int:
        """See EncoderModel."""
        self._cannot("embed")

    def fill_mask(
        self, text: str, top_k: int = 5, *, dtype: str | None = None
    ) -> list[list[Filling]]:
        """See EncoderModel."""
        self._cannot("fill_mask")

    def classify(
        self, texts: Sequence[Text], top_k: int | None = None, *, dtype: str | None = None
    ) -> list[list[Label]]:
        """See EncoderModel."""
        self._cannot("classify")

    def rerank(
        self, query: str, documents: Sequence[str], *, dtype: str | None = None
    ) -> list[Ranked]:
        """See EncoderModel."""
        self._cannot("rerank")

    def _cannot(self, verb: str) -> NoReturn:
        can = ", ".join(self.verbs)
        raise RequestError(
            f"{verb}: {self._checkpoint.directory} is a {self.kind} ({self.config.model_type}); "
            f"it can {can}"
        )

    # Checks.

    def _check_open(self) -> None:
        if not self._open:
            raise RequestError("the model is closed; load it again")

    def _precision(self, dtype: str | None) -> str:
        if self.loading is not None:
            self.loading.check()
        if dtype is None:
            return self.dtype if self._rise is None else self._rise()
        wanted = dtype if dtype in self.precisions else parse_dtype(dtype)
        if wanted not in self.precisions:
            hint = (
                " It holds base planes only; load it as int8 to have both."
                if (self.dtype, wanted) == ("int4", "int8")
                else f" Load it with dtype={wanted!r} for that."
            )
            raise RequestError(
                f"dtype: the model was loaded as {self.dtype} and serves "
                f"{', '.join(self.precisions)}; got {wanted}.{hint}"
            )
        return wanted

    # End of life.

    def _forget_passes(self) -> None:
        """Before weights are given up: what was recorded must not hold on to them."""

    def shrink(self) -> None:
        """Gives back memory that can be had again: recorded passes, and what the heap keeps.

        Weights and caches of running answers stay. The governor does it where the system's memory
        is under pressure.
        """
        self._forget_passes()
        trim_heap()

    def close(self) -> None:
        """Frees weights and unmaps files; a second call does nothing."""
        if not self._open:
            return
        self._open = False
        self.governor.close()
        if self.loading is not None:
            self.loading.stop()
        original = self.__dict__.get("_original")
        if original is not None:
            original.close()
        self._forget_passes()
        for parameter in self.parameters:
            parameter.close()
        self._checkpoint.close()
        trim_heap()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
