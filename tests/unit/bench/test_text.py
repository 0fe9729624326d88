"""Prompts of so many tokens."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lapwing
from lapwing.bench.text import DEFAULT_TEXT, text_of_tokens


class Letters:
    """A token a letter, behind one for the beginning; cuts where it is told to."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most

    def encode(self, text: str) -> Sequence[int]:
        return [0, *map(ord, text)][: self._most]


@given(st.integers(1, 3000))
def test_a_token_a_letter_is_met_exactly(count: int) -> None:
    text = text_of_tokens(Letters(), count)
    assert len(Letters().encode(text)) == count
    assert (" ".join(DEFAULT_TEXT.split()) + " ").startswith(text[:500])


def test_a_tokenizer_that_cuts_comes_to_an_end() -> None:
    assert text_of_tokens(Letters(most=50), 1000)


@pytest.mark.parametrize("count", [1, 5, 16, 128, 200])
def test_the_bundled_tokenizer_is_met_exactly(count: int) -> None:
    with lapwing.load("tales", dtype="int4") as model:
        assert len(model.tokenizer.encode(text_of_tokens(model.tokenizer, count))) == count


def test_a_text_of_ones_own_is_repeated() -> None:
    assert text_of_tokens(Letters(), 10, "ab cd").startswith("ab cd ab")
