"""Streams equal the decoding of the whole; stop strings do not see how the text was cut."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lapwing.errors import RequestError
from lapwing.text.stream import StopStrings
from lapwing.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[3]
TALES = ROOT / "src/lapwing/data/tales"
STORIES = ROOT.parent / "shared/models/stories260k"
texts = st.text(max_size=30) | st.text(st.sampled_from("ab é\ufffd😀👨‍👩‍👧ก\n"), max_size=20)


def small(decoder: Any) -> Tokenizer:
    """A vocabulary of every awkward spelling, under a decoder of choice."""
    import tokenizers

    spellings = ["▁", "▁a", "a", "##b", "b</w>", "\ufffd", "", " ", ".", "'s", "<pad>", "<unk>"]
    tokens = spellings + [f"<0x{byte:02X}>" for byte in (0x61, 0xC3, 0xA9, 0xF0, 0x9F, 0x98, 0x80)]
    vocab = {token: token_id for token_id, token in enumerate(tokens)}
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="<unk>"))
    raw.add_special_tokens(["<s>"])
    if decoder is not None:
        raw.decoder = decoder
    return Tokenizer(raw)


@cache
def vocabularies() -> dict[str, Tokenizer]:
    from tokenizers import decoders as d

    llama = d.Sequence([d.Replace("▁", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)])
    found = {
        "tales": Tokenizer.open(TALES),
        "llama": small(llama),
        "metaspace": small(d.Metaspace()),
        "wordpiece": small(d.WordPiece()),
        "suffix": small(d.BPEDecoder("</w>")),
        "ctc": small(d.CTC()),
        "byte level in a sequence": small(d.Sequence([d.ByteLevel(), d.Strip(" ", 1, 0)])),
        "none": small(None),
    }
    if STORIES.is_dir():
        found["stories260k"] = Tokenizer.open(STORIES)
    return found


NAMES = ["tales", "stories260k", "llama", "metaspace", "wordpiece", "suffix", "ctc", "none"]


@pytest.mark.parametrize("name", [*NAMES, "byte level in a sequence"])
@settings(max_examples=150, deadline=None)
@given(data=st.data(), skip=st.booleans())
def test_any_ids_stream_to_what_they_decode_to(name: str, data: st.DataObject, skip: bool) -> None:
    if name not in vocabularies():
        pytest.skip(f"{name} is not beside this repository")
    tokenizer = vocabularies()[name]
    size = tokenizer.vocab_size
    ids = data.draw(
        st.lists(st.integers(0, min(size, 270)) | st.integers(0, size + 2), max_size=24)
    )
    stream = tokenizer.stream(skip)
    assert "".join(map(stream.push, ids)) + stream.flush() == tokenizer.decode(ids, skip)
    assert stream.flush() == ""


@pytest.mark.parametrize("name", ["tales", "stories260k"])
@settings(max_examples=150, deadline=None)
@given(text=texts)
@example("\ufffd\ufffd a \ufffd")
@example(" 👨‍👩‍👧 two  spaces ")
def test_text_streams_whole_and_in_whole_characters(name: str, text: str) -> None:
    if name not in vocabularies():
        pytest.skip(f"{name} is not beside this repository")
    tokenizer = vocabularies()[name]
    stream = tokenizer.stream()
    pieces = [stream.push(token) for token in tokenizer.encode(text)]
    pieces.append(stream.flush())
    assert "".join(pieces) == text
    assert sum(piece.count("\ufffd") for piece in pieces) == text.count("\ufffd")


def test_a_character_of_several_tokens_comes_with_its_last() -> None:
    tokenizer = vocabularies()["tales"]
    ids = tokenizer.encode("a😀b")
    assert len(ids) == 6
    stream = tokenizer.stream()
    assert [stream.push(token) for token in ids] == ["a", "", "", "", "😀", "b"]


def test_a_replacement_character_of_the_text_is_not_held_back() -> None:
    tokenizer = vocabularies()["tales"]
    stream = tokenizer.stream()
    assert "".join(map(stream.push, tokenizer.encode("x\ufffd"))) == "x\ufffd"


def test_an_incomplete_character_comes_with_flush() -> None:
    tokenizer = vocabularies()["tales"]
    stream = tokenizer.stream()
    assert "".join(map(stream.push, tokenizer.encode("a😀")[:-1])) == "a"
    assert stream.flush() == "\ufffd"
    assert stream.push(tokenizer.encode("b")[0]) == "b"


# --- stop strings -------------------------------------------------------------------------------


def first_stop(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The definition: read on until the text ends in a stop string; then the longest counts."""
    for end in range(len(text) + 1):
        hits = [stop for stop in stops if text[:end].endswith(stop)]
        if hits:
            hit = max(hits, key=len)
            return text[: end - len(hit)], hit
    return text, None


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(st.text("abc", max_size=4), max_size=8),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
def test_stop_strings_do_not_see_how_the_text_was_cut(pieces: list[str], stops: list[str]) -> None:
    finder = StopStrings(stops)
    safe, hit = "", None
    for piece in pieces:
        text, hit = finder.push(piece)
        safe += text
        assert "".join(pieces).startswith(safe)
        if hit is not None:
            break
    assert (safe + finder.flush(), hit) == first_stop("".join(pieces), stops)


def test_only_a_tail_that_may_begin_a_stop_string_is_held() -> None:
    finder = StopStrings(["\n\n", "</s>"])
    assert finder.push("one\n") == ("one", None)
    assert finder.push("two <") == ("\ntwo ", None)
    assert finder.push("/") == ("", None)
    assert finder.push("b>") == ("</b>", None)
    assert finder.push("x</s>y") == ("x", "</s>")
    assert finder.flush() == ""


def test_without_stop_strings_nothing_is_held() -> None:
    finder = StopStrings(())
    assert finder.push("abc") == ("abc", None)
    assert finder.flush() == ""


def test_one_string_is_one_stop_string() -> None:
    assert StopStrings("END").push("the END") == ("the ", "END")


@pytest.mark.parametrize("stops", ["", [""], ["a", ""], [3]])
def test_an_empty_stop_string_is_refused(stops: Any) -> None:
    make: Callable[[], StopStrings] = lambda: StopStrings(stops)  # noqa: E731
    with pytest.raises(RequestError, match="expected strings of at least one character"):
        make()
