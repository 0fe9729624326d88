"""A loaded language model that continues text: one, several, or in a conversation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, cast

from lapwing.engine.answer import Answer, Border
from lapwing.engine.causal_forward import CausalForward
from lapwing.engine.checks import whole
from lapwing.engine.generate import TextStream, decode
from lapwing.engine.inputs import checked_ids
from lapwing.engine.logprobs import no_spelling, spelling
from lapwing.engine.model import Ids, Loaded
from lapwing.engine.request import GenerationRequest, canonical
from lapwing.engine.result import GenerationResult
from lapwing.engine.session import Session
from lapwing.errors import RequestError
from lapwing.layers.kv_cache import KVCache
from lapwing.models.base import LanguageModel
from lapwing.power.pacing.request import PacedRequest
from lapwing.text.chat import ChatTemplate, checked_variables

# A turn ends by itself; a model that never ends one must not fill its context.
DEFAULT_CHAT_TOKENS = 1024


class CausalModel(CausalForward):
    """Continues text. Made by `lapwing.load`."""

    verbs = (
        "generate",
        "stream",
        "batch_generate",
        "chat",
        "forward",
        "forward_with_kv_cache",
        "forward_with_kv_caches",
    )

    def __init__(self, loaded: Loaded, network: LanguageModel, eos: frozenset[int]) -> None:
        super().__init__(loaded, network)
        self._eos = eos

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Tokens that end a text; empty where the checkpoint names none."""
        return self._eos

    # Text.

    def generate(self, prompt: str | Ids, **arguments: Any) -> GenerationResult:
        """Continues a prompt (text, or token ids).

        Arguments: the fields of GenerationRequest (max_tokens, temperature, top_k, top_p, min_p,
        typical_p, repetition_penalty, presence_penalty, frequency_penalty, logit_bias, seed,
        logprobs, stop, stop_token_ids, ignore_eos, dtype); `max_new_tokens`, `do_sample` and
        `stop_strings` are understood, too.
        """
        stream = self.stream(prompt, **arguments)
        for _ in stream:
            pass
        return stream.result

    def stream(self, prompt: str | Ids, **arguments: Any) -> TextStream:
        """As `generate`, piece by piece; `.result` of the stream is the answer so far."""
        request = self.governor.request(interactive=True)
        answer = self._answer(prompt, arguments, request, time.perf_counter())
        return TextStream(answer, self._session(answer), request, self._precision)

    def batch_generate(
        self,
        prompts: Iterable[str | Ids],
        arguments: Sequence[Mapping[str, Any]] | None = None,
        *,
        batch_size: int = 32,
        on_result: Callable[[int, GenerationResult], None] | None = None,
        **common: Any,
    ) -> list[GenerationResult]:
        """Continues several prompts in shared passes → results in the order of the prompts.

        Each is what `generate` gives for its prompt alone. `common` are arguments as of `generate`
        for all; `arguments`, one mapping a prompt, come before them. batch_size: how many go on
        together; the others wait until one is finished. on_result is called with a prompt's index
        and result as soon as it is. Everything is checked before anything is computed.
        """
        started_s = time.perf_counter()
        batch_size = whole("batch_size", batch_size, 1)
        request = self.governor.request(interactive=False)
        answers = self._answers(prompts, arguments, common, request, started_s)
        index = {answer: i for i, answer in enumerate(answers)}
        turns = ((each, self._session(each)) for each in answers)
        for answer, _ in decode(turns, request, batch_size):
            if answer.finished and on_result is not None:
                on_result(index[answer], answer.result)
        return [answer.result for answer in answers]

    def _answers(
        self,
        prompts: Iterable[str | Ids],
        arguments: Sequence[Mapping[str, Any]] | None,
        common: Mapping[str, Any],
        request: PacedRequest,
        started_s: float,
    ) -> list[Answer]:
        if isinstance(prompts, (str, bytes)) or not isinstance(prompts, Iterable):
            raise RequestError(f"prompts: expected several, got {prompts!r}; put it in a list")
        prompts = list(prompts)
        given = [{}] * len(prompts) if arguments is None else arguments
        own = list(given) if isinstance(given, Iterable) else []
        if len(own) != len(prompts) or not all(isinstance(each, Mapping) for each in own):
            raise RequestError(
                f"arguments: expected {len(prompts)} mappings, one a prompt, got {arguments!r}"
            )
        answers = []
        for i, (prompt, each) in enumerate(zip(prompts, own, strict=True)):
            try:
                merged = {**canonical(common), **canonical(each)}
                answers.append(self._answer(prompt, merged, request, started_s))
            except RequestError as error:
                raise RequestError(f"prompts[{i}]: {error}") from None
        return answers

    def _answer(
        self,
        prompt: str | Ids,
        arguments: dict[str, Any],
        paced: PacedRequest,
        started_s: float,
    ) -> Answer:
        """What was asked, checked; nothing is computed yet."""
        request = GenerationRequest.of(arguments)
        self._check_open()
        precision = self._precision(request.dtype)
        request.check_vocabulary(self.config.vocab_size)
        text = isinstance(prompt, str)
        if isinstance(prompt, (bytes, bytearray)) or not hasattr(prompt, "__iter__"):
            raise RequestError(f"prompt: expected text or token ids, got {prompt!r}")
        given = self.tokenizer.encode(cast(str, prompt)) if text else list(prompt)
        ids = checked_ids(given, self.config.vocab_size)
        if not ids:
            ids = self._begin_of_text()
        has_text = text or self._tokenizer.exception() is None
        if request.stop and not has_text:
            raise RequestError("stop: stop strings need a tokenizer, and this model has none")
        max_tokens = request.room(len(ids), self.context_length)
        paced.tokens += max_tokens
        return Answer(
            ids,
            request,
            max_tokens=max_tokens,
            eos=self._eos,
            decoder=self.tokenizer.stream() if has_text else None,
            spell=spelling(self.tokenizer) if has_text else no_spelling,
            precision=precision,
            rise=self._rise if request.dtype is None else None,
            govern=self._governed if request.dtype is None else None,
            describe=partial(self._describe, paced),
            started_s=started_s,
        )

    def _governed(self, border: Border) -> tuple[str, str] | None:
        """The governor's precision and its reason, where it may choose one at this border."""
        governor = self.governor
        wanted, switch_at = governor.command.precision, governor.settings.switch_at
        if switch_at == "never" or (border == "token" and switch_at == "request"):
            return None
        if wanted is None or wanted not in self.precisions:
            return self.dtype, "the governor asks for nothing else"
        return wanted, ", ".join(governor.command.reasons)

    def _session(self, answer: Answer) -> Session:
        return Session(self._passes, self._loaded().kv_cache(answer.capacity))

    def _describe(self, paced: PacedRequest, **values: Any) -> GenerationResult:
        values["timings"] = replace(values["timings"], load_s=self.load_s)
        use = paced.use
        return GenerationResult(
            **values,
            backend=self.backend,
            isa=self.isa,
            threads=self.threads,
            duty=use.duty,
            energy_j=use.energy_j,
            energy_scope=use.energy_scope,
            power_source=use.power_source,
            governor=list(use.acted),
            unknown=dict(use.unknown),
        )

    def _begin_of_text(self) -> list[int]:
        bos = self._checkpoint.config.get("bos_token_id")
        if not isinstance(bos, int):
            raise RequestError(
                "the prompt is empty, and the model names no token to begin a text with. "
                "Give at least one token."
            )
        return self._checked([bos])

    # Conversations.

    @cached_property
    def chat_template(self) -> ChatTemplate:
        """The checkpoint's own. Raises RequestError where it has none."""
        return ChatTemplate.need(self._checkpoint.directory)

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
        template_variables: Mapping[str, Any] | None = None,
        cache: KVCache | None = None,
        **arguments: Any,
    ) -> GenerationResult:
        """Answers a conversation, written as the checkpoint's own template writes it.

        messages: [{"role": "user", "content": "Hello"}, …]; tools: JSON schemas. Both reach the
        template as they are, and so do template_variables. template: the name of one of several.
        cache: of `kv_cache`, used again from turn to turn, as far as it holds the conversation.
        Arguments as of `generate`; without max_tokens 1024, or what fits if that is less.
        """
        stream = self.chat_stream(
            messages,
            tools=tools,
            template=template,
            template_variables=template_variables,
            cache=cache,
            **arguments,
        )
        for _ in stream:
            pass
        return stream.result

    def chat_stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
        template_variables: Mapping[str, Any] | None = None,
        cache: KVCache | None = None,
        **arguments: Any,
    ) -> TextStream:
        """As `chat`, piece by piece; `.result` of the stream is the answer so far."""
        started_s = time.perf_counter()
        wishes = canonical(arguments)
        request = GenerationRequest.of(wishes)
        variables = checked_variables(template_variables or {})
        text = self.chat_template.render(messages, tools=tools, template=template, **variables)
        # The template itself writes the tokens that stand around a text.
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        room = (self.context_length if cache is None else cache.capacity) - len(ids)
        if request.max_tokens is None and room > 0:
            wishes["max_tokens"] = min(DEFAULT_CHAT_TOKENS, room)
        if not request.ignore_eos:
            wishes["stop_token_ids"] = request.stop_token_ids | self._ends_of_turn
        paced = self.governor.request(interactive=True)
        answer = self._answer(ids, wishes, paced, started_s)
        if cache is None:
            return TextStream(answer, self._session(answer), paced, self._precision)
        self._check_cache(cache)
        if answer.capacity > cache.capacity:
            raise RequestError(
                f"cache: the conversation ({len(ids)} tokens) and its answer "
                f"({answer.capacity - len(ids)}) exceed its {cache.capacity} positions"
            )
        return TextStream(answer, Session(self._passes, cache), paced, self._precision)

    @property
    def _ends_of_turn(self) -> frozenset[int]:
        """The tokenizer's `eos_token`: what a template closes a turn with.

        The generation files of many fine-tuned models still name the base model's end of text only.
        """
        token = self.chat_template.special_tokens.get("eos_token", "")
        token_id = self.tokenizer.raw.token_to_id(token)
        return frozenset() if token_id is None else frozenset({token_id})
