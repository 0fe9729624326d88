"""A model's tokenizer, on the `tokenizers` library; its files are read whole or refused by name."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from typing import TYPE_CHECKING

from lapwing.errors import RequestError
from lapwing.place import AnyPlace, as_place
from lapwing.text.stream import ByteStreamDecoder, StreamDecoder, WindowStreamDecoder
from lapwing.text.tokenizer_files import (
    TOKENIZER,
    read_mask_token,
    read_max_length,
    read_tokenizer,
    rust_errors,
)

if TYPE_CHECKING:
    import tokenizers

BACKGROUND_BYTES = 1_000_000  # about 50 to 100 ms of parsing per megabyte
KEPT = 1 << 14  # spellings that are remembered: a text has few of all tokens, and few pairs of them


@dataclass(frozen=True)
class Encoded:
    """Ids of a text or pair, the part each token is of, and their number before any cut."""

    ids: list[int]
    type_ids: list[int]
    full_length: int


class Tokenizer:
    """Text ↔ ids; made by `open`. Encoding adds what the model's post-processor adds (`<s>`, …)."""

    def __init__(
        self,
        raw: tokenizers.Tokenizer,
        mask_token: str | None = None,
        max_length: int | None = None,
    ) -> None:
        # Files may carry truncation and padding for training: a prompt is never cut or filled here.
        raw.no_truncation()
        raw.no_padding()
        self.raw = raw
        self.mask_token, self.max_length = mask_token, max_length
        # A call into the library takes microseconds, and a small model's token not many of them.
        self._spelled = lru_cache(KEPT)(raw.id_to_token)
        self._window_text = _window_text(raw)

    @classmethod
    def open(cls, directory: AnyPlace) -> Tokenizer:
        """Of `tokenizer.json`, `vocab.json` and `merges.txt`, or `vocab.txt`.

        Raises TokenizerError.
        """
        path = as_place(directory)
        raw = read_tokenizer(path)
        return cls(raw, read_mask_token(path, raw), read_max_length(path))

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included; a model may be padded to more."""
        return self.raw.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Raises RequestError for text that cannot be UTF-8, with the position.

        Without `add_special_tokens` only those come in that the text itself spells.
        """
        _check_text(text, "text")
        with rust_errors("the text could not be encoded"):
            return self.raw.encode(text, add_special_tokens=add_special_tokens).ids

    def encode_texts(
        self, texts: Sequence[str | tuple[str, str]], max_length: int | None = None
    ) -> list[Encoded]:
        """Texts, or pairs of them, with what the model's post-processor adds; in parallel.

        What is longer than `max_length` tokens is cut on the right, of a pair the longer text
        first. Raises RequestError naming the text and the position.
        """
        with rust_errors("the texts could not be encoded"):
            try:
                encodings = self.raw.encode_batch_fast(texts)
            except TypeError:
                for index, text in enumerate(texts):
                    for part in text if isinstance(text, tuple) else (text,):
                        _check_text(part, f"texts[{index}]")
                raise
        result = []
        for text, encoding in zip(texts, encodings, strict=True):
            ids, full_length = encoding.ids, len(encoding.ids)
            if max_length is not None and full_length > max_length:
                encoding = self._cut(text, max_length)
                ids = encoding.ids
            result.append(Encoded(ids, encoding.type_ids, full_length))
        return result

    def _cut(self, text: str | tuple[str, str], max_length: int) -> tokenizers.Encoding:
        """One text or pair, longest part first, to `max_length` tokens with the special ones."""
        parts = [
            self.raw.encode(part, add_special_tokens=False)
            for part in (text if isinstance(text, tuple) else (text,))
        ]
        room = max_length - self.raw.num_special_tokens_to_add(len(parts) == 2)
        if room < 0:
            raise RequestError(f"max_length: {max_length} is less than the special tokens alone")
        if len(parts) == 1:
            parts[0].truncate(room)
            return self.raw.post_process(parts[0])
        lengths = sorted(len(part) for part in parts)
        shorter = min(lengths[0], room // 2)
        longer = min(lengths[1], room - shorter)
        # Of two equally long parts the second keeps the odd token, as in the library's own cut.
        first_is_longer = len(parts[0]) > len(parts[1])
        parts[0].truncate(longer if first_is_longer else shorter)
        parts[1].truncate(shorter if first_is_longer else longer)
        return self.raw.post_process(parts[0], parts[1])

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Ids that the vocabulary does not have (padding of the model's own) decode to nothing."""
        known = [_checked(token) for token in ids]
        with rust_errors("the ids could not be decoded"):
            return self.raw.decode(known, skip_special_tokens=skip_special_tokens)

    def stream(self, skip_special_tokens: bool = True) -> StreamDecoder:
        """A decoder for ids that come one by one."""
        from tokenizers.decoders import ByteLevel

        skipped = self._special_ids if skip_special_tokens else frozenset()

        def token_of(token_id: int) -> str | None:
            token_id = _checked(token_id)
            return None if token_id in skipped else self._spelled(token_id)

        if isinstance(self.raw.decoder, ByteLevel):
            return ByteStreamDecoder(lambda token_id: _token_bytes(token_of(token_id) or ""))
        return WindowStreamDecoder(self._window_text, token_of)

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        added = self.raw.get_added_tokens_decoder()
        return frozenset(token_id for token_id, token in added.items() if token.special)


class OpenedWhenNeeded(Future[Tokenizer]):
    """A tokenizer that is opened by whoever first asks for it; errors come from `result()`, too.

    The library holds the interpreter while it parses (half a second for 150 000 words), so beside
    the first pass of a model whose weights are mapped it would stand in the way.
    """

    def __init__(self, directory: AnyPlace) -> None:
        super().__init__()
        self._directory, self._turn = directory, threading.Lock()

    def result(self, timeout: float | None = None) -> Tokenizer:
        """See Future."""
        self._open()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """See Future."""
        self._open()
        return super().exception(timeout)

    def _open(self) -> None:
        with self._turn:
            if self.done():
                return
            try:
                self.set_result(Tokenizer.open(self._directory))
            except Exception as error:  # not Ctrl-C: who asks next tries again
                self.set_exception(error)


def open_in_background(directory: AnyPlace) -> Future[Tokenizer]:
    """Like `Tokenizer.open`, at once for a small file and in a thread for a large one.

    The library holds the interpreter while it parses: what runs beside it is native work, such as
    packing weights. Errors, too, come from `result()`: a model without a tokenizer serves ids.
    """
    future: Future[Tokenizer] = Future()

    def work() -> None:
        try:
            future.set_result(Tokenizer.open(directory))
        except BaseException as error:
            future.set_exception(error)

    try:
        large = (as_place(directory) / TOKENIZER).stat().st_size > BACKGROUND_BYTES
    except OSError:
        large = False
    if large:
        threading.Thread(target=work, name="lapwing-tokenizer", daemon=True).start()
    else:
        work()
    return future


def _check_text(text: object, name: str) -> None:
    if not isinstance(text, str):
        raise RequestError(f"{name} is {type(text).__name__}, expected str.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            f"{name}[{error.start}] is the lone surrogate U+{ord(text[error.start]):04X}, half of "
            "a character. Decode the text again from its bytes, or replace it."
        ) from None


def _checked(token_id: int) -> int:
    try:
        value = operator.index(token_id)
    except TypeError:
        raise RequestError(f"token id {token_id!r} is not a whole number.") from None
    if not 0 <= value < 2**32:
        raise RequestError(f"token id {value} is out of range; expected 0 ≤ id < 2³².")
    return value


def _window_text(raw: tokenizers.Tokenizer) -> Callable[[tuple[int, ...]], str]:
    """The text of ids that are all to be seen; one or two come again and again: remembered."""
    decode = partial(raw.decode, skip_special_tokens=False)
    remembered = lru_cache(KEPT)(decode)
    return lambda ids: remembered(ids) if len(ids) <= 2 else decode(ids)


@lru_cache(KEPT)
def _token_bytes(token: str) -> bytes:
    """The bytes that a byte-level token is spelt for; with a foreign character, its own UTF-8."""
    table = _byte_of_char()
    try:
        return bytes([table[char] for char in token])
    except KeyError:
        return token.encode("utf-8")


@cache
def _byte_of_char() -> dict[str, int]:
    """Byte-level spelling: printable Latin-1 bytes are themselves, others count from U+0100."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    spelt = {chr(byte): byte for byte in own}
    return spelt | {chr(0x100 + n): byte for n, byte in enumerate(others)}
