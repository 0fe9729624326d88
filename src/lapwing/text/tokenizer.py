"""A model's tokenizer, on the `tokenizers` library; its files are read whole or refused by name."""

from __future__ import annotations

import json
import operator
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapwing.errors import LapwingError, RequestError, TokenizerError
from lapwing.text.stream import ByteStreamDecoder, StreamDecoder, WindowStreamDecoder

if TYPE_CHECKING:
    import tokenizers

TOKENIZER = "tokenizer.json"
VOCAB = "vocab.json"
MERGES = "merges.txt"
BACKGROUND_BYTES = 1_000_000  # about 50 to 100 ms of parsing per megabyte


class Tokenizer:
    """Text ↔ ids; made by `open`. Encoding adds what the model's post-processor adds (`<s>`, …)."""

    def __init__(self, raw: tokenizers.Tokenizer) -> None:
        # Files may carry truncation and padding for training: a prompt is never cut or filled here.
        raw.no_truncation()
        raw.no_padding()
        self.raw = raw

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Tokenizer:
        """Of `tokenizer.json`, else of `vocab.json` and `merges.txt`; raises TokenizerError."""
        path = Path(directory)
        if (path / TOKENIZER).is_file():
            return cls(_read_tokenizer_json(path / TOKENIZER))
        if (path / VOCAB).is_file() and (path / MERGES).is_file():
            return cls(_read_byte_level_bpe(path))
        raise TokenizerError(_not_found(path))

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included; a model may be padded to more."""
        return self.raw.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """Raises RequestError for text that cannot be UTF-8, with the position."""
        if not isinstance(text, str):
            raise RequestError(f"text is {type(text).__name__}, expected str.")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError(
                f"text[{error.start}] is the lone surrogate U+{ord(text[error.start]):04X}, half "
                "of a character. "
                "Decode the text again from its bytes, or replace it."
            ) from None
        with _rust_errors("the text could not be encoded"):
            return self.raw.encode(text).ids

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Ids that the vocabulary does not have (padding of the model's own) decode to nothing."""
        known = [_checked(token) for token in ids]
        with _rust_errors("the ids could not be decoded"):
            return self.raw.decode(known, skip_special_tokens=skip_special_tokens)

    def stream(self, skip_special_tokens: bool = True) -> StreamDecoder:
        """A decoder for ids that come one by one."""
        from tokenizers.decoders import ByteLevel

        skipped = self._special_ids if skip_special_tokens else frozenset()

        def token_of(token_id: int) -> str | None:
            token_id = _checked(token_id)
            return None if token_id in skipped else self.raw.id_to_token(token_id)

        if isinstance(self.raw.decoder, ByteLevel):
            return ByteStreamDecoder(lambda token_id: _token_bytes(token_of(token_id) or ""))
        return WindowStreamDecoder(lambda ids: self.decode(ids, skip_special_tokens), token_of)

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        added = self.raw.get_added_tokens_decoder()
        return frozenset(token_id for token_id, token in added.items() if token.special)


def open_in_background(directory: str | os.PathLike[str]) -> Future[Tokenizer]:
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
        large = (Path(directory) / TOKENIZER).stat().st_size > BACKGROUND_BYTES
    except OSError:
        large = False
    if large:
        threading.Thread(target=work, name="lapwing-tokenizer", daemon=True).start()
    else:
        work()
    return future


def _read_tokenizer_json(path: Path) -> tokenizers.Tokenizer:
    import tokenizers

    raw = _read(path)
    with _rust_errors(f"{path}: not a valid tokenizer file", "Fetch the file again."):
        return tokenizers.Tokenizer.from_buffer(raw)


def _read_byte_level_bpe(directory: Path) -> tokenizers.Tokenizer:
    """The two files of GPT-2's own format, with GPT-2's rules around them."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, processors

    vocab = _read_object(directory / VOCAB)
    for token, token_id in vocab.items():
        if type(token_id) is not int or not 0 <= token_id < 2**32:
            raise TokenizerError(
                f"{directory / VOCAB}: token {token!r} has id {token_id!r}, expected a whole "
                "number ≥ 0. "
                "Fetch the file again."
            )
    merges = list(_read_merges(directory / MERGES))
    with _rust_errors(f"{directory / MERGES}: does not fit {VOCAB}", "Fetch both files again."):
        raw = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges))
    config_path = directory / "tokenizer_config.json"
    config = _read_object(config_path) if config_path.is_file() else {}
    prefix = config.get("add_prefix_space") is True
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    raw.post_processor = processors.ByteLevel(trim_offsets=False)
    raw.decoder = decoders.ByteLevel()
    named = {"eos_token": "<|endoftext|>", **_special_tokens(directory), **config}
    special = {_content(value) for key, value in named.items() if key.endswith("_token")}
    raw.add_special_tokens(sorted(token for token in special if token in vocab))
    return raw


def _special_tokens(directory: Path) -> dict[str, Any]:
    path = directory / "special_tokens_map.json"
    return _read_object(path) if path.is_file() else {}


def _content(token: object) -> str:
    """A special token is named by its text, or by an object that has it as `content`."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _read_merges(path: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = _read(path).decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{path}: not UTF-8 text (byte {error.start}). Fetch the file again."
        ) from None
    for number, line in enumerate(lines, start=1):
        pair = line.rstrip("\r").split(" ")
        if pair == [""] or (number == 1 and line.startswith("#version")):
            continue
        if len(pair) != 2 or not all(pair):
            raise TokenizerError(
                f"{path}: line {number} is {line[:80]!r}, expected two tokens with a space "
                "between. "
                "Fetch the file again."
            )
        yield pair[0], pair[1]


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{path}: not valid JSON: {error}. Fetch the file again.") from None
    if not isinstance(value, dict):
        raise TokenizerError(f"{path}: expected a JSON object {{…}}. Fetch the file again.")
    return value


def _read(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if not raw.strip():
        raise TokenizerError(f"{path}: the file is empty. Fetch the file again.")
    return raw


def _not_found(path: Path) -> str:
    text = (
        f"{path}: no tokenizer here; looked for {TOKENIZER}, and for {VOCAB} with {MERGES}. "
        "Token ids work without one; for text, put the model's tokenizer files there."
    )
    if (path / "tokenizer.model").is_file() or (path / "vocab.txt").is_file():
        text += (
            " The files that are there can be converted where transformers is installed:\n"
            f'  python -c "from transformers import AutoTokenizer as T; '
            f'T.from_pretrained({str(path)!r}).save_pretrained({str(path)!r})"'
        )
    return text


@contextmanager
def _rust_errors(what: str, advice: str = "") -> Iterator[None]:
    """The library raises bare Exceptions, and panics that are not even that: make them ours."""
    try:
        yield
    except LapwingError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise TokenizerError(f"{what} ({error}). {advice}".rstrip()) from None


def _checked(token_id: int) -> int:
    try:
        value = operator.index(token_id)
    except TypeError:
        raise RequestError(f"token id {token_id!r} is not a whole number.") from None
    if not 0 <= value < 2**32:
        raise RequestError(f"token id {value} is out of range; expected 0 ≤ id < 2³².")
    return value


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
