"""The bundled model writes what transformers wrote with it: 200 greedy tokens, five prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from golden.trained import PROMPTS, check_greedy_text, check_logits

if TYPE_CHECKING:
    from golden.conftest import Golden


@pytest.mark.parametrize("i", PROMPTS)
def test_prompt_ids(i: int, tales: Golden, tales_directory: Path) -> None:
    from lapwing.text.tokenizer import Tokenizer

    ids = Tokenizer.open(tales_directory).encode(tales.facts["prompts"][i]["prompt"])
    assert list(ids) == tales.arrays[f"{i}.prompt_ids"].tolist()


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_logits(tales: Golden, tales_directory: Path, backend: str, dtype: str) -> None:
    check_logits(tales, tales_directory, dtype)


@pytest.mark.parametrize("i", PROMPTS)
def test_greedy_text(i: int, tales: Golden, tales_directory: Path, backend: str) -> None:
    check_greedy_text(tales, tales_directory, i)
