"""Text piece by piece: whole characters out of token ids, stop strings across pieces."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from string import hexdigits
from typing import Protocol

from lapwing.errors import RequestError

_BYTE_TOKENS = {f"<0x{high}{low}>" for high in hexdigits for low in hexdigits}


class StreamDecoder(Protocol):
    """Ids in, text out; all pieces joined equal the decoding of all ids at once."""

    def push(self, token_id: int) -> str:
        """The characters that `token_id` completes; "" while one is incomplete."""
        ...

    def flush(self) -> str:
        """What is left: an incomplete character comes as U+FFFD. The decoder is then as new."""
        ...


class ByteStreamDecoder:
    """For byte-level vocabularies (GPT-2, Llama 3, Qwen): each token is a string of bytes."""

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """See StreamDecoder."""
        return self._decoder.decode(self._token_bytes(token_id))

    def flush(self) -> str:
        """See StreamDecoder."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text


class WindowStreamDecoder:
    """For every other vocabulary: decodes a short window of ids, emits by how much its text grew.

    The window begins with ids already emitted, so that what a decoder does at the beginning of a
    text (strip a space, omit a separator) is done to those. `token_of` gives a token's spelling,
    None for an id that decodes to nothing (out of range, or a special token that is skipped).
    """

    def __init__(
        self, decode: Callable[[tuple[int, ...]], str], token_of: Callable[[int], str | None]
    ) -> None:
        self._decode = decode
        self._token_of = token_of
        self._window: tuple[int, ...] = ()  # ids; those before `_fresh` are emitted as `_emitted`
        self._fresh = 0
        self._emitted = ""

    def push(self, token_id: int) -> str:
        """See StreamDecoder."""
        token = self._token_of(token_id)
        if token is None:
            return ""
        self._window += (token_id,)
        # Decoders with byte tokens judge a whole run of them: one bad byte spoils those before it.
        if token in _BYTE_TOKENS:
            return ""
        text = self._decode(self._window)
        if text.endswith("\ufffd") or not text.startswith(self._emitted):
            return ""
        piece = text[len(self._emitted) :]
        if piece:
            recent = self._window[self._fresh :]
            recent_text = self._decode(recent)
            if recent_text:  # a beginning that vanishes would leave its work to the next ids
                self._window, self._emitted = recent, recent_text
            else:
                self._emitted = text
            self._fresh = len(self._window)
        return piece

    def flush(self) -> str:
        """See StreamDecoder."""
        text = self._decode(self._window)
        common = len(self._emitted) if text.startswith(self._emitted) else 0
        self._window, self._fresh, self._emitted = (), 0, ""
        return text[common:]


class StopStrings:
    """Finds the first of several strings in text that comes in pieces.

    The string that is complete first wins, the longest if several end there; how the text was cut
    into pieces does not matter.
    """

    def __init__(self, stops: str | Iterable[str]) -> None:
        self.stops = (stops,) if isinstance(stops, str) else tuple(stops)
        if not all(isinstance(stop, str) and stop for stop in self.stops):
            raise RequestError(f"stop is {stops!r}, expected strings of at least one character.")
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """(text that is surely before any stop string, the stop string found or None).

        A tail that may begin a stop string is held back; after a hit, the rest is dropped.
        """
        if not self.stops:
            return text, None
        held = self._held + text
        found = [
            (held.find(stop) + len(stop), -len(stop), stop) for stop in self.stops if stop in held
        ]
        if found:
            end, _, hit = min(found)
            self._held = ""
            return held[: end - len(hit)], hit
        keep = max((_overlap(held, stop) for stop in self.stops), default=0)
        cut = len(held) - keep
        self._held = held[cut:]
        return held[:cut], None

    def flush(self) -> str:
        """The held-back tail, which began no stop string after all."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with, shorter than `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
