"""The text of one token, as it stands within a text."""

from __future__ import annotations

import pytest
import tokenizers
from tokenizers import decoders, models

from lapwing.engine.logprobs import spelling
from lapwing.text.tokenizer import Tokenizer


def speller(words: list[str], decoder: decoders.Decoder) -> dict[str, str]:
    raw = tokenizers.Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "?"))
    raw.decoder = decoder
    raw.add_special_tokens(["<s>"])
    spell = spelling(Tokenizer(raw))
    return {word: spell(raw.token_to_id(word)) for word in [*words, "<s>"]}


def test_a_space_before_a_word_stays() -> None:
    """These decoders strip it at the beginning of a text, and a token alone is a beginning."""
    words = ["▁the", "▁wolf", "s", "▁", ","]
    want = {"▁the": " the", "▁wolf": " wolf", "s": "s", "▁": " ", ",": ",", "<s>": "<s>"}
    assert speller(words, decoders.Metaspace()) == want
    llama = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    assert speller(words, llama) == want


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("Ġthe", " the"),
        ("the", "the"),
        ("Ã¤", "ä"),
        ("Ã", "\ufffd"),  # the first byte of two
        ("¤", "\ufffd"),  # the second
        ("<s>", "<s>"),
    ],
)
def test_bytes(token: str, text: str) -> None:
    assert speller(["Ġthe", "the", "Ã¤", "Ã", "¤"], decoders.ByteLevel())[token] == text
