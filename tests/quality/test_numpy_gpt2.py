"""The plain NumPy GPT-2, on which the quality tests stand, gives the logits of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from agreement import assert_logits
from quality.numpy_gpt2 import NumpyGPT2
from tiny import SHAPES, write_gpt2
from tolerances import FLOAT_LOGITS

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", SHAPES)
def test_numpy_forward_equals_transformers(name: str, tmp_path: Path) -> None:
    facts = json.loads((GOLDEN / "gpt2_tiny.json").read_text(encoding="utf-8"))["variants"][name]
    model = NumpyGPT2.open(write_gpt2(tmp_path, seed=facts["seed"], **SHAPES[name]))
    with np.load(GOLDEN / "gpt2_tiny.npz") as golden:
        for i in range(facts["sequences"]):
            logits = model(golden[f"{name}.{i}.ids"].tolist())
            assert_logits(logits, golden[f"{name}.{i}.logits"], FLOAT_LOGITS["f32"], name)
