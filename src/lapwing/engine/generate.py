"""The decode loop: one token at a time, text as soon as it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lapwing.engine.request import GenerationRequest
from lapwing.engine.result import FinishReason, GenerationResult, StreamChunk, Timings
from lapwing.engine.sampling import sample_token
from lapwing.engine.session import Session
from lapwing.text.stream import StopStrings, StreamDecoder

Clock = Callable[[], float]


class TextStream:
    """Iterates over StreamChunks of one answer; `result` is what there is so far.

    Dropping it, or an exception in the loop that consumes it, ends the answer: nothing runs ahead.
    """

    def __init__(
        self,
        session: Session,
        prompt: Sequence[int],
        request: GenerationRequest,
        *,
        max_tokens: int,
        eos: frozenset[int],
        decoder: StreamDecoder | None,
        precision: str,
        describe: Callable[..., GenerationResult],
        started_s: float,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._session, self._prompt, self._request = session, prompt, request
        self._max_tokens, self._eos, self._decoder = max_tokens, eos, decoder
        self._precision, self._describe, self._clock = precision, describe, clock
        self._stops = StopStrings(request.stop)
        self._rng = np.random.default_rng(request.seed)
        self._texts: list[str] = []
        self._tokens: list[int] = []
        self._finish_reason: FinishReason = "interrupted"
        self._started_s = self._ended_s = started_s
        self._prefilled_s: float | None = None
        self._prefill_began_s = started_s
        self._first_text_s: float | None = None
        self._first_token_s: float | None = None
        self._last_token_s: float | None = None
        self._chunks = self._run()

    def __iter__(self) -> Iterator[StreamChunk]:
        return self

    def __next__(self) -> StreamChunk:
        return next(self._chunks)

    def _run(self) -> Iterator[StreamChunk]:
        self._prefill_began_s = self._clock()
        logits = self._session.prefill(self._prompt, self._precision)
        self._prefilled_s = self._clock()
        while True:
            token = sample_token(logits, self._request.temperature, self._rng)
            self._last_token_s = self._clock()
            if self._first_token_s is None:
                self._first_token_s = self._last_token_s
            self._tokens.append(token)
            if token in self._eos and not self._request.ignore_eos:
                self._finish_reason = "stop"
                break
            text, hit = self._stops.push("" if self._decoder is None else self._decoder.push(token))
            if text or self._decoder is None:
                yield self._emit(text, token)
            if hit is not None:
                self._finish_reason = "stop"
                self._ended_s = self._clock()
                return
            if len(self._tokens) == self._max_tokens:
                self._finish_reason = "length"
                break
            logits = self._session.feed([token], self._precision)
        rest = "" if self._decoder is None else self._decoder.flush()
        text, hit = self._stops.push(rest)
        text += "" if hit else self._stops.flush()
        if text:
            yield self._emit(text, None)
        self._ended_s = self._clock()

    def _emit(self, text: str, token: int | None) -> StreamChunk:
        self._ended_s = self._clock()
        if text:
            self._texts.append(text)
            if self._first_text_s is None:
                self._first_text_s = self._ended_s
        return StreamChunk(text, token)

    @property
    def result(self) -> GenerationResult:
        """The answer so far; `interrupted` until the loop has ended by itself."""
        prefill_s = (self._prefilled_s or self._ended_s) - self._prefill_began_s
        decode_s, after_first = 0.0, max(0, len(self._tokens) - 1)
        if self._first_token_s is not None and self._last_token_s is not None:
            decode_s = self._last_token_s - self._first_token_s
        first = self._first_text_s
        timings = Timings(
            load_s=0.0,
            prefill_s=prefill_s,
            decode_s=decode_s,
            ttft_s=None if first is None else first - self._started_s,
            tpot_s=decode_s / after_first if after_first else None,
            prefill_tps=len(self._prompt) / prefill_s if prefill_s > 0 else None,
            decode_tps=after_first / decode_s if decode_s > 0 else None,
            total_s=self._ended_s - self._started_s,
        )
        return self._describe(
            text="".join(self._texts),
            tokens=list(self._tokens),
            prompt_tokens=len(self._prompt),
            finish_reason=self._finish_reason,
            timings=timings,
            dtype=self._precision,
            seed=self._request.seed,
        )
