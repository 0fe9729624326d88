"""The files a tokenizer may come in, read whole or refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lapwing.errors import LapwingError, TokenizerError
from lapwing.place import Place

if TYPE_CHECKING:
    import tokenizers

TOKENIZER = "tokenizer.json"
VOCAB, MERGES = "vocab.json", "merges.txt"
PIECES = "vocab.txt"
# BertTokenizer's defaults (transformers, models/bert/tokenization_bert.py).
BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
NO_LIMIT = 10**9
MASK_TOKENS = ("[MASK]", "<mask>")


def read_tokenizer(directory: Place) -> tokenizers.Tokenizer:
    """Of the first format there is; raises TokenizerError."""
    if (directory / TOKENIZER).is_file():
        return _read_tokenizer_json(directory / TOKENIZER)
    if (directory / VOCAB).is_file() and (directory / MERGES).is_file():
        return _read_byte_level_bpe(directory)
    if (directory / PIECES).is_file():
        return _read_wordpiece(directory)
    raise TokenizerError(_not_found(directory))


def _read_tokenizer_json(path: Place) -> tokenizers.Tokenizer:
    import tokenizers

    raw = read_file(path)
    with rust_errors(f"{path}: not a valid tokenizer file", "Fetch the file again."):
        return tokenizers.Tokenizer.from_buffer(raw)


def _read_byte_level_bpe(directory: Place) -> tokenizers.Tokenizer:
    """The two files of GPT-2's own format, with GPT-2's rules around them, or RoBERTa's."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, processors

    vocab = read_object(directory / VOCAB)
    for token, token_id in vocab.items():
        if type(token_id) is not int or not 0 <= token_id < 2**32:
            raise TokenizerError(
                f"{directory / VOCAB}: token {token!r} has id {token_id!r}, expected a whole "
                "number ≥ 0. "
                "Fetch the file again."
            )
    merges = list(_read_merges(directory / MERGES))
    with rust_errors(f"{directory / MERGES}: does not fit {VOCAB}", "Fetch both files again."):
        raw = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges))
    config = read_settings(directory)
    prefix = config.get("add_prefix_space") is True
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    raw.decoder = decoders.ByteLevel()
    special = {"eos_token": "<|endoftext|>", **named_tokens(config)}
    cls, sep = special.get("cls_token"), special.get("sep_token")
    if cls in vocab and sep in vocab:
        raw.post_processor = processors.RobertaProcessing(
            (sep, vocab[sep]), (cls, vocab[cls]), trim_offsets=True, add_prefix_space=prefix
        )
    else:
        raw.post_processor = processors.ByteLevel(trim_offsets=False)
    # A mask takes the space before it, as RobertaTokenizer has it.
    raw.add_special_tokens(
        [
            tokenizers.AddedToken(token, lstrip=token == special.get("mask_token"), special=True)
            for token in sorted({token for token in special.values() if token in vocab})
        ]
    )
    return raw


def _read_wordpiece(directory: Place) -> tokenizers.Tokenizer:
    """BERT's own format: one piece a line, with BertTokenizer's rules and defaults around it."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    path = directory / PIECES
    pieces = _read_lines(path)
    vocab = {piece: index for index, piece in enumerate(pieces)}
    config = read_settings(directory)
    special = {**BERT_TOKENS, **named_tokens(config)}
    for key in ("unk_token", "cls_token", "sep_token"):
        if special[key] not in vocab:
            raise TokenizerError(f"{path}: has no {special[key]!r}. Fetch the file again.")
    raw = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=special["unk_token"]))
    raw.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars") is not False,
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case") is not False,
    )
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    cls, sep = special["cls_token"], special["sep_token"]
    raw.post_processor = processors.BertProcessing((sep, vocab[sep]), (cls, vocab[cls]))
    raw.add_special_tokens(sorted(token for token in special.values() if token in vocab))
    return raw


def read_mask_token(directory: Place, raw: tokenizers.Tokenizer) -> str | None:
    """What stands for a missing word: named in the settings, else BERT's or RoBERTa's."""
    named = named_tokens(read_settings(directory)).get("mask_token")
    candidates = (named or "", *MASK_TOKENS)
    return next((token for token in candidates if raw.token_to_id(token) is not None), None)


def read_max_length(directory: Place) -> int | None:
    """Tokens of a text the tokenizer's settings allow; those that mean no limit are 10^30."""
    length = read_settings(directory).get("model_max_length")
    return length if type(length) is int and 0 < length < NO_LIMIT else None


def read_settings(directory: Place) -> dict[str, Any]:
    """special_tokens_map.json under tokenizer_config.json; {} without either."""
    files = (directory / "special_tokens_map.json", directory / "tokenizer_config.json")
    settings: dict[str, Any] = {}
    for path in files:
        if path.is_file():
            settings |= read_object(path)
    return settings


def named_tokens(settings: dict[str, Any]) -> dict[str, str]:
    """`cls_token` and its like → text."""
    named = {key: _content(value) for key, value in settings.items() if key.endswith("_token")}
    return {key: text for key, text in named.items() if text}


def _content(token: object) -> str:
    """A special token is named by its text, or by an object that has it as `content`."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _read_lines(path: Place) -> list[str]:
    """Without the end of the last one."""
    try:
        lines = read_file(path).decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{path}: not UTF-8 text (byte {error.start}). Fetch the file again."
        ) from None
    return [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def _read_merges(path: Place) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_read_lines(path), start=1):
        pair = line.split(" ")
        if pair == [""] or (number == 1 and line.startswith("#version")):
            continue
        if len(pair) != 2 or not all(pair):
            raise TokenizerError(
                f"{path}: line {number} is {line[:80]!r}, expected two tokens with a space "
                "between. "
                "Fetch the file again."
            )
        yield pair[0], pair[1]


def read_object(path: Place) -> dict[str, Any]:
    """A JSON object; raises TokenizerError for anything else."""
    try:
        value = json.loads(read_file(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{path}: not valid JSON: {error}. Fetch the file again.") from None
    if not isinstance(value, dict):
        raise TokenizerError(f"{path}: expected a JSON object {{…}}. Fetch the file again.")
    return value


def read_file(path: Place) -> bytes:
    """Not empty; raises TokenizerError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if not raw.strip():
        raise TokenizerError(f"{path}: the file is empty. Fetch the file again.")
    return raw


def _not_found(path: Place) -> str:
    text = (
        f"{path}: no tokenizer here; looked for {TOKENIZER}, {VOCAB} with {MERGES}, and {PIECES}. "
        "Token ids work without one; for text, put the model's tokenizer files there."
    )
    if (path / "tokenizer.model").is_file():
        text += (
            " The file that is there can be converted where transformers is installed:\n"
            f'  python -c "from transformers import AutoTokenizer as T; '
            f'T.from_pretrained({str(path)!r}).save_pretrained({str(path)!r})"'
        )
    return text


@contextmanager
def rust_errors(what: str, advice: str = "") -> Iterator[None]:
    """The library raises bare Exceptions, and panics that are not even that: make them ours."""
    try:
        yield
    except LapwingError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise TokenizerError(f"{what} ({error}). {advice}".rstrip()) from None
