"""The programs under examples/, run as a reader would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.command import User

import lapwing

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("dtype", ["int8", "int4", "f16"])
def test_gpt2_generate_prints_true_numbers(tmp_path: Path, dtype: str) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "gpt2_generate.py", "tales", "--dtype", dtype, "--seed", "3"],
        env=User(tmp_path).environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    with lapwing.load("tales", dtype=dtype) as model:
        result = model.generate("Once upon a time", max_tokens=50, temperature=0.7, seed=3)
        device, rest = done.stdout.split("\n", 1)
        assert device.startswith(f"Using device: cpu ({model.backend}")
    text, numbers = rest.rsplit("\nGeneration time: ", 1)
    assert text == "Generated text: Once upon a time" + result.text
    told = re.fullmatch(r"([\d.]+) s \((\d+) tokens\)\nTokens per second: ([\d.]+)\n", numbers)
    assert told, numbers
    seconds, tokens, rate = float(told[1]), int(told[2]), float(told[3])
    assert tokens == len(result.tokens)
    assert rate == pytest.approx(tokens / seconds, rel=0.05)
