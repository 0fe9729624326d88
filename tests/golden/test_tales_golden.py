"""The bundled model writes what transformers wrote with it: 200 greedy tokens, five prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from agreement import assert_greedy, assert_logits
from tolerances import FLOAT_LOGITS

if TYPE_CHECKING:
    from golden.conftest import Golden

PROMPTS = range(5)


@pytest.mark.parametrize("i", PROMPTS)
def test_prompt_ids(i: int, tales: Golden, tales_directory: Path) -> None:
    from lapwing.text.tokenizer import Tokenizer

    ids = Tokenizer.open(tales_directory).encode(tales.facts["prompts"][i]["prompt"])
    assert list(ids) == tales.arrays[f"{i}.prompt_ids"].tolist()


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_logits(tales: Golden, tales_directory: Path, backend: str, dtype: str) -> None:
    import lapwing

    with lapwing.load(str(tales_directory), dtype=dtype) as model:
        for name in (*map(str, PROMPTS), "full"):
            logits = model.forward(tales.arrays[f"{name}.ids"].tolist())
            assert_logits(
                logits[tales.arrays[f"{name}.positions"]],
                tales.arrays[f"{name}.logits"],
                FLOAT_LOGITS[dtype],
                f"tales {name} {dtype}",
            )


@pytest.mark.parametrize("i", PROMPTS)
def test_greedy_text(i: int, tales: Golden, tales_directory: Path, backend: str) -> None:
    import lapwing

    expected = tales.facts["prompts"][i]
    tokens = tales.arrays[f"{i}.tokens"].tolist()
    with lapwing.load(str(tales_directory), dtype="f32") as model:
        result = model.generate(expected["prompt"], max_tokens=len(tokens), ignore_eos=True)
    assert result.finish_reason == "length"
    assert_greedy(
        list(result.tokens),
        tokens,
        tales.arrays[f"{i}.margins"],
        FLOAT_LOGITS["f32"],
        expected["prompt"],
    )
    if list(result.tokens) == tokens:
        assert result.text == expected["text"]
