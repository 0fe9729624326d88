"""Tokenizer files: read, converted, or refused by name."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapwing.errors import RequestError, TokenizerError
from lapwing.text import tokenizer as module
from lapwing.text.tokenizer import Tokenizer, open_in_background

ROOT = Path(__file__).parents[3]
TALES = ROOT / "src/lapwing/data/tales"
STORIES = ROOT.parent / "shared/models/stories260k"


@pytest.fixture(scope="module")
def tales() -> Tokenizer:
    return Tokenizer.open(TALES)


@pytest.fixture
def gpt2_files(tmp_path: Path) -> Path:
    """The bundled tokenizer in the two files of GPT-2's own format."""
    model = json.loads((TALES / "tokenizer.json").read_text())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"]), ""]
    (tmp_path / "merges.txt").write_text("\n".join(lines))
    return tmp_path


def refusal(directory: Path) -> str:
    with pytest.raises(TokenizerError) as caught:
        Tokenizer.open(directory)
    return str(caught.value)


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_text_comes_back(tales: Tokenizer, text: str) -> None:
    assert tales.decode(tales.encode(text)) == text


def test_ids_of_a_sentence(tales: Tokenizer) -> None:
    ids = tales.encode("Once upon a time")
    assert [tales.decode([token]) for token in ids] == ["On", "ce", " upon", " a", " time"]
    assert tales.vocab_size == 2048
    assert tales.decode(np.array(ids)) == "Once upon a time"


def test_special_tokens_are_skipped_on_request(tales: Tokenizer) -> None:
    ids = tales.encode("a<|endoftext|>b")
    assert 0 in ids
    assert tales.decode(ids) == "ab"
    assert tales.decode(ids, skip_special_tokens=False) == "a<|endoftext|>b"


@pytest.mark.skipif(not STORIES.is_dir(), reason="stories260k is not beside this repository")
def test_the_files_post_processor_is_honoured() -> None:
    tokenizer = Tokenizer.open(STORIES)
    assert tokenizer.encode("a")[0] == 1  # <s>
    assert tokenizer.decode(tokenizer.encode("Once upon a time")) == "Once upon a time"


def test_the_two_files_of_gpt2_make_the_same_tokenizer(tales: Tokenizer, gpt2_files: Path) -> None:
    converted = Tokenizer.open(gpt2_files)
    text = "Once upon a time 😀 there's\n\n  naïve <|endoftext|> text"
    assert converted.encode(text) == tales.encode(text)
    assert converted.decode(tales.encode(text)) == tales.decode(tales.encode(text))
    assert converted.vocab_size == tales.vocab_size


def test_special_tokens_and_the_prefix_space_are_read(gpt2_files: Path) -> None:
    special = {"bos_token": {"content": "!"}, "unk_token": "absent", "mask_token": None}
    (gpt2_files / "special_tokens_map.json").write_text(json.dumps(special))
    (gpt2_files / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    tokenizer = Tokenizer.open(gpt2_files)
    assert tokenizer.decode(tokenizer.encode("a!")) == " a"


def test_truncation_and_padding_of_the_file_are_off(tmp_path: Path) -> None:
    """A file made for training would cut a prompt silently."""
    raw = Tokenizer.open(TALES).raw
    raw.enable_truncation(4)
    raw.enable_padding(length=32)
    raw.save(str(tmp_path / "tokenizer.json"))
    assert len(Tokenizer.open(tmp_path).encode("Once upon a time there was")) == 7


def test_no_tokenizer(tmp_path: Path) -> None:
    text = refusal(tmp_path)
    assert text.startswith(
        f"{tmp_path}: no tokenizer here; "
        "looked for tokenizer.json, vocab.json with merges.txt, and vocab.txt."
    )
    assert "AutoTokenizer" not in text
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "tokenizer.model").touch()
    assert "AutoTokenizer" in refusal(tmp_path)


@pytest.mark.parametrize("raw", [b"{", b"{}", b"\xff", b'{"model": 3}', b"[" * 100_000, b"null"])
def test_a_damaged_tokenizer_is_named(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(raw)
    assert f"{tmp_path / 'tokenizer.json'}: not a valid tokenizer file (" in refusal(tmp_path)


def test_an_empty_tokenizer_file(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").touch()
    assert (
        refusal(tmp_path)
        == f"{tmp_path / 'tokenizer.json'}: the file is empty. Fetch the file again."
    )


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("vocab.json", "{", "vocab.json: not valid JSON"),
        ("vocab.json", "[]", "vocab.json: expected a JSON object"),
        ("vocab.json", '{"a": "x"}', "vocab.json: token 'a' has id 'x', expected a whole number"),
        ("vocab.json", '{"a": -1}', "vocab.json: token 'a' has id -1, expected a whole number"),
        ("vocab.json", '{"a": 1}', "merges.txt: does not fit vocab.json ("),
        (
            "merges.txt",
            "#version: 0.2\na b\nab\n",
            "merges.txt: line 3 is 'ab', expected two tokens",
        ),
        ("tokenizer_config.json", "{", "tokenizer_config.json: not valid JSON"),
    ],
)
def test_a_damaged_file_of_gpt2_is_named(
    gpt2_files: Path, file: str, content: str, expected: str
) -> None:
    (gpt2_files / file).write_text(content)
    assert expected in refusal(gpt2_files)


def test_merges_that_are_no_text(gpt2_files: Path) -> None:
    (gpt2_files / "merges.txt").write_bytes(b"a \xff")
    assert "merges.txt: not UTF-8 text (byte 2)" in refusal(gpt2_files)


def test_a_lone_surrogate_is_named_with_its_position(tales: Tokenizer) -> None:
    with pytest.raises(RequestError, match=r"text\[3\] is the lone surrogate U\+D83D, half of a"):
        tales.encode("abc\ud83d")


@pytest.mark.parametrize("text", [None, b"abc", 3])
def test_only_text_is_encoded(tales: Tokenizer, text: Any) -> None:
    with pytest.raises(RequestError, match=r"text is \w+, expected str"):
        tales.encode(text)


def test_ids_outside_the_vocabulary(tales: Tokenizer) -> None:
    assert tales.decode([5000]) == ""
    assert tales.stream().push(5000) == ""
    with pytest.raises(RequestError, match="token id -1 is out of range"):
        tales.decode([-1])
    with pytest.raises(RequestError, match="token id 'a' is not a whole number"):
        tales.stream().push("a")  # type: ignore[arg-type]


def test_what_is_remembered_of_a_token_is_of_whole_numbers(tales: Tokenizer) -> None:
    stream: Any = tales.stream()
    stream.push(300)
    with pytest.raises(RequestError, match=r"300\.0 is not a whole number"):
        stream.push(300.0)


def test_a_small_tokenizer_opens_in_the_foreground_and_fast() -> None:
    Tokenizer.open(TALES)  # imports
    begin = time.perf_counter()
    future = open_in_background(TALES)
    assert future.done()
    assert time.perf_counter() - begin < 0.1
    assert future.result().vocab_size == 2048


def test_a_large_tokenizer_opens_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(TALES / "tokenizer.json", tmp_path)
    monkeypatch.setattr(module, "BACKGROUND_BYTES", 1000)
    future = open_in_background(tmp_path)
    assert future.result(timeout=20).encode("a")
    (tmp_path / "tokenizer.json").write_text("{" + " " * 2000)
    with pytest.raises(TokenizerError, match="not a valid tokenizer file"):
        open_in_background(tmp_path).result(timeout=20)


def test_errors_of_the_background_come_with_the_first_use(tmp_path: Path) -> None:
    future = open_in_background(tmp_path)
    with pytest.raises(TokenizerError, match="no tokenizer here"):
        future.result()
