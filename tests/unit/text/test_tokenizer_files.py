"""Tokenizers from the older files of BERT and RoBERTa, equal to those from tokenizer.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_sentences import WORDPIECES, write_byte_level, write_wordpiece

from lapwing import TokenizerError
from lapwing.text.tokenizer import Tokenizer

TEXTS = (
    "The wolf in the forest.",
    "THREE golden balls — “Äpfel” und Größe",
    "",
    "unabashed 12.5€\t\nwaters",
    "中国語 ok",
    "a [MASK] here",
    "a <mask> there",
    "e\u0301 \x00\u200b",
)


def old_bert(directory: Path, **config: object) -> Path:
    directory.mkdir(parents=True)
    (directory / "vocab.txt").write_text("".join(f"{piece}\n" for piece in WORDPIECES), "utf-8")
    if config:
        (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


@pytest.mark.parametrize("lowercase", [True, False])
def test_vocab_txt(tmp_path: Path, lowercase: bool) -> None:
    write_wordpiece(tmp_path / "new", lowercase)
    old = old_bert(tmp_path / "old", do_lower_case=lowercase)
    new = Tokenizer.open(tmp_path / "new")
    mine = Tokenizer.open(old)
    assert mine.encode_texts(TEXTS) == new.encode_texts(TEXTS)
    pairs = [(a, b) for a in TEXTS[:3] for b in TEXTS[3:]]
    assert mine.encode_texts(pairs, 16) == new.encode_texts(pairs, 16)
    assert mine.mask_token == new.mask_token == "[MASK]"
    ids = mine.encode(TEXTS[0])
    assert mine.decode(ids) == new.decode(ids)


def test_vocab_txt_without_any_settings_is_lower_case(tmp_path: Path) -> None:
    mine = Tokenizer.open(old_bert(tmp_path / "old"))
    assert mine.encode("THE WOLF") == mine.encode("the wolf")
    assert mine.max_length is None


def test_settings_of_bert(tmp_path: Path) -> None:
    kept = Tokenizer.open(
        old_bert(tmp_path / "a", strip_accents=False, tokenize_chinese_chars=False)
    )
    usual = Tokenizer.open(old_bert(tmp_path / "b", model_max_length=77))
    assert usual.max_length == 77
    assert kept.encode("é") != usual.encode("é")
    assert kept.encode("中国") != usual.encode("中国")
    huge = Tokenizer.open(old_bert(tmp_path / "c", model_max_length=10**30))
    assert huge.max_length is None


def test_vocab_json_of_roberta(tmp_path: Path) -> None:
    """With a cls token in the settings, RoBERTa's rules; without, GPT-2's."""
    write_byte_level(tmp_path / "new")
    new = Tokenizer.open(tmp_path / "new")
    model = json.loads((tmp_path / "new/tokenizer.json").read_text())["model"]
    old = tmp_path / "old"
    old.mkdir()
    (old / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "".join(f"{a} {b}\n" for a, b in model["merges"])
    (old / "merges.txt").write_text(f"#version: 0.2\n{merges}", "utf-8")
    plain = Tokenizer.open(old)
    shutil.copy(tmp_path / "new/tokenizer_config.json", old)
    mine = Tokenizer.open(old)
    assert mine.encode_texts(TEXTS) == new.encode_texts(TEXTS)
    assert mine.encode_texts([("a", "the b")]) == new.encode_texts([("a", "the b")])
    assert mine.mask_token == "<mask>"
    assert plain.encode("the wolf") == new.encode("the wolf")[1:-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "vocab.txt: the file is empty"),
        (b"[PAD]\n[UNK]\n[CLS]\n", r"vocab.txt: has no '\[SEP\]'"),
        (b"\xff\n", "vocab.txt: not UTF-8 text"),
    ],
)
def test_a_damaged_vocab_txt_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.open(tmp_path)
