"""A trained model's logits and greedy text are what transformers computed with it."""

from __future__ import annotations

from pathlib import Path

from agreement import assert_greedy, assert_logits
from golden.conftest import Golden
from tolerances import FLOAT_LOGITS

import lapwing

PROMPTS = range(5)  # of every golden of a trained model


def check_logits(golden: Golden, directory: Path, dtype: str) -> None:
    """After every prompt, and along one whole text."""
    with lapwing.load(str(directory), dtype=dtype) as model:
        for name in (*map(str, PROMPTS), "full"):
            logits = model.forward(golden.arrays[f"{name}.ids"].tolist())
            assert_logits(
                logits[golden.arrays[f"{name}.positions"]],
                golden.arrays[f"{name}.logits"],
                FLOAT_LOGITS[dtype],
                f"{directory.name} {name} {dtype}",
            )


def check_greedy_text(golden: Golden, directory: Path, i: int) -> None:
    """The oracle's tokens after prompt `i`, and their text."""
    expected = golden.facts["prompts"][i]
    tokens = golden.arrays[f"{i}.tokens"].tolist()
    with lapwing.load(str(directory), dtype="f32") as model:
        result = model.generate(expected["prompt"], max_tokens=len(tokens), ignore_eos=True)
    assert result.finish_reason == "length"
    assert_greedy(
        list(result.tokens),
        tokens,
        golden.arrays[f"{i}.margins"],
        FLOAT_LOGITS["f32"],
        expected["prompt"],
    )
    if list(result.tokens) == tokens:
        assert result.text == expected["text"]
