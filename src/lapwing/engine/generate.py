"""The decode loop: one pass a token, of every answer that goes on; text as soon as it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from lapwing.engine.answer import Answer
from lapwing.engine.result import GenerationResult, StreamChunk
from lapwing.engine.session import Session
from lapwing.layers.kv_cache import KVCache
from lapwing.power.pacing.request import PacedRequest

Turn = tuple[Answer, Session]  # an answer, and the timeline that it goes on on


def decode(
    turns: Iterable[Turn], request: PacedRequest, at_once: int = 1
) -> Iterator[tuple[Answer, list[StreamChunk]]]:
    """Each answer after each of its tokens, with the pieces of text that the token completed.

    `at_once` answers of one model go on together: their prompts and tokens share passes. One that
    is finished leaves, and the next turn is taken. An answer is the same in any company. The
    governor may end them all through the request.
    """
    request.open()
    try:
        yield from _decode(turns, request, at_once)
    finally:
        request.close()


def _decode(
    turns: Iterable[Turn], request: PacedRequest, at_once: int
) -> Iterator[tuple[Answer, list[StreamChunk]]]:
    waiting = iter(turns)
    live: list[Turn] = []
    while True:
        for answer, session in islice(waiting, at_once - len(live)):
            answer.begin(session.rewind(answer.prompt))
            live.append((answer, session))
        if not live:
            return
        if request.stop is not None:  # those that wait begin, and end, in their turn
            for answer, _ in live:
                yield answer, answer.end(request.stop)
            live = []
            continue
        groups: dict[str, tuple[list[Answer], list[KVCache]]] = {}
        for answer, session in live:
            answer.settle()
            answers, caches = groups.setdefault(answer.precision, ([], []))
            answers.append(answer)
            caches.append(session.cache)
        passes = live[0][1].passes
        for precision, (answers, caches) in sorted(groups.items()):
            pending = [answer.pending for answer in answers]
            rows = passes.run(pending, caches, precision, last_only=True)
            alone = len(pending) == 1 and len(pending[0]) == 1
            taken = [
                (answer, answer.take(logits[0]))
                for answer, logits in zip(answers, rows, strict=True)
            ]
            passes.pacer.made(len(answers), precision, caches[0].length if alone else None)
            yield from taken
        live = [turn for turn in live if not turn[0].finished]


class TextStream:
    """Iterates over StreamChunks of one answer; `result` is what there is so far.

    Dropping it, or an exception in the loop that consumes it, ends the answer: nothing runs ahead.
    """

    def __init__(
        self,
        answer: Answer,
        session: Session,
        request: PacedRequest,
        checked: Callable[[str], str],
    ) -> None:
        """checked: a dtype by any of its names → a precision that the model serves."""
        self._answer, self._checked, self._request = answer, checked, request
        turns = decode([(answer, session)], request)
        self._chunks = (chunk for _, chunks in turns for chunk in chunks)

    def __iter__(self) -> Iterator[StreamChunk]:
        return self

    def __next__(self) -> StreamChunk:
        return next(self._chunks)

    def switch(self, dtype: str, reason: str = "asked for") -> None:
        """Reads the weights as `dtype` from the next token on: int8 or int4 of the same planes.

        The cache is kept and nothing is loaded. Raises RequestError for what the model does not
        serve.
        """
        self._answer.switch(self._checked(dtype), reason)

    def cancel(self) -> None:
        """From any thread: ends the answer at its next token, and a pause before it at once."""
        self._request.cancel()

    @property
    def precision(self) -> str:
        """Of the last pass, or of the first where there was none."""
        return self._answer.precision

    @property
    def token_times_s(self) -> tuple[float, ...]:
        """When each token so far was chosen, by a monotonic clock."""
        return tuple(self._answer.token_times_s)

    @property
    def result(self) -> GenerationResult:
        """The answer so far; `interrupted` until the loop has ended by itself."""
        return self._answer.result
