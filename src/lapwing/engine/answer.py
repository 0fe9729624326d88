"""One answer as it grows: logits in, the next token and pieces of text out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

from lapwing.backends.base import Floats
from lapwing.engine.logprobs import Spell, token_logprob
from lapwing.engine.request import GenerationRequest
from lapwing.engine.result import (
    FinishReason,
    GenerationResult,
    PrecisionSwitch,
    StreamChunk,
    Timings,
    TokenLogprob,
)
from lapwing.engine.sampling import Sampler
from lapwing.text.stream import StopStrings, StreamDecoder

Clock = Callable[[], float]
Border = Literal["request", "token"]
# The precision that the governor wants of what follows a border, and why; None: it may not say.
Govern = Callable[[Border], tuple[str, str] | None]


class Answer:
    """The continuation of one prompt. `pending` are the tokens whose logits it waits for.

    eos: what ends it besides the request's own tokens. spell: a token's text. rise: the precision
    of the next pass, where that rises while weights are being read. govern: see Govern.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        request: GenerationRequest,
        *,
        max_tokens: int,
        eos: frozenset[int],
        decoder: StreamDecoder | None,
        spell: Spell,
        precision: str,
        rise: Callable[[], str] | None = None,
        govern: Govern | None = None,
        describe: Callable[..., GenerationResult],
        started_s: float,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.prompt, self.pending, self.precision = prompt, prompt, precision
        self.capacity = len(prompt) + max_tokens
        self._rise, self._govern = rise, govern
        self._switches = list[PrecisionSwitch]()
        self.finished = False
        self._request, self._max_tokens = request, max_tokens
        self._ends = request.stop_token_ids | (frozenset() if request.ignore_eos else eos)
        self._decoder, self._spell, self._describe = decoder, spell, describe
        self._stops = StopStrings(request.stop)
        self._sample = Sampler(request, prompt)
        self._texts: list[str] = []
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprob] = []
        self._told = 0  # of the logprobs
        self._finish_reason: FinishReason = "interrupted"
        self._clock = clock
        self._started_s = self._ended_s = self._prefill_began_s = started_s
        self._prefilled_s: float | None = None
        self._prefill_tokens = 0
        self._first_text_s: float | None = None
        self.token_times_s: list[float] = []  # when each token was chosen, by the clock

    def switch(self, precision: str, reason: str) -> None:
        """Passes from the next token on read the weights this way; what is cached stays."""
        self._rise = self._govern = None
        self._switch(precision, reason)

    def settle(self) -> None:
        """Before a pass: takes the precision that is to be had now."""
        if self._rise is not None:
            self._switch(self._rise(), "refine planes have been read")
        elif self._tokens:
            self._ask("token")

    def _ask(self, border: Border) -> None:
        wanted = None if self._govern is None else self._govern(border)
        if wanted is not None and wanted[0] != self.precision:
            self.precision = wanted[0]
            self._switches.append(PrecisionSwitch(len(self._tokens), *wanted))

    def _switch(self, precision: str, reason: str) -> None:
        if precision != self.precision:
            self.precision = precision
            if self._tokens:  # before the first pass it is no switch
                self._switches.append(PrecisionSwitch(len(self._tokens), precision, reason))

    def begin(self, pending: Sequence[int]) -> None:
        """Its first pass is about to run, over the part of the prompt that no cache holds."""
        self.pending, self._prefill_tokens = pending, len(pending)
        if self._rise is None:
            self._ask("request")
        self._prefill_began_s = self._clock()

    def take(self, logits: Floats) -> list[StreamChunk]:
        """Logits [V] behind `pending` → pieces of text, where the next token completes any.

        Afterwards that token is pending, or the answer is finished.
        """
        if self._prefilled_s is None:
            self._prefilled_s = self._clock()
        token = self._sample(logits)
        self.token_times_s.append(self._clock())
        self._tokens.append(token)
        self.pending = self._tokens[-1:]
        if self._request.logprobs is not None:
            self._logprobs.append(token_logprob(logits, token, self._request.logprobs, self._spell))
        if token in self._ends:
            return self._finish("stop", [])
        text, hit = self._stops.push("" if self._decoder is None else self._decoder.push(token))
        chunks = [self._chunk(text, token)] if text or self._decoder is None else []
        if hit is not None:
            return self._finish("stop", chunks, cut=True)
        if len(self._tokens) == self._max_tokens:
            return self._finish("length", chunks)
        return chunks

    def end(self, reason: FinishReason) -> list[StreamChunk]:
        """Before its time → the text that was held back."""
        return self._finish(reason, [])

    @property
    def length(self) -> int:
        """Tokens so far."""
        return len(self._tokens)

    def _finish(
        self, reason: FinishReason, chunks: list[StreamChunk], *, cut: bool = False
    ) -> list[StreamChunk]:
        """`cut`: what follows a stop string is no text."""
        self.finished, self._finish_reason = True, reason
        if not cut:
            text, hit = self._stops.push("" if self._decoder is None else self._decoder.flush())
            text += "" if hit else self._stops.flush()
            if text:
                chunks.append(self._chunk(text, None))
        self._ended_s = self._clock()
        return chunks

    def _chunk(self, text: str, token: int | None) -> StreamChunk:
        self._ended_s = self._clock()
        if text:
            self._texts.append(text)
            if self._first_text_s is None:
                self._first_text_s = self._ended_s
        if self._request.logprobs is None:
            return StreamChunk(text, token)
        untold, self._told = self._logprobs[self._told :], len(self._logprobs)
        return StreamChunk(text, token, untold)

    @property
    def result(self) -> GenerationResult:
        """The answer so far; `interrupted` until it has ended by itself."""
        prefill_s = (self._prefilled_s or self._ended_s) - self._prefill_began_s
        times_s, after_first = self.token_times_s, max(0, len(self._tokens) - 1)
        decode_s = times_s[-1] - times_s[0] if times_s else 0.0
        first = self._first_text_s
        timings = Timings(
            load_s=0.0,
            prefill_s=prefill_s,
            decode_s=decode_s,
            ttft_s=None if first is None else first - self._started_s,
            tpot_s=decode_s / after_first if after_first else None,
            prefill_tps=self._prefill_tokens / prefill_s if prefill_s > 0 else None,
            decode_tps=after_first / decode_s if decode_s > 0 else None,
            total_s=self._ended_s - self._started_s,
        )
        return self._describe(
            text="".join(self._texts),
            tokens=list(self._tokens),
            prompt_tokens=len(self.prompt),
            finish_reason=self._finish_reason,
            timings=timings,
            dtype=self.precision,
            seed=self._request.seed,
            logprobs=None if self._request.logprobs is None else list(self._logprobs),
            precision_switches=list(self._switches),
        )
