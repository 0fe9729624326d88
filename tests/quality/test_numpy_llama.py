"""The plain NumPy Llama, on which the quality tests stand, gives the logits of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from agreement import assert_logits
from quality.numpy_llama import NumpyLlama
from tiny_llama_variants import LLAMAS
from tiny_llamas import write_llama
from tolerances import FLOAT_LOGITS

GOLDEN = Path(__file__).parents[1] / "golden"
PLAIN = [
    name
    for name, variant in LLAMAS.items()
    if variant.get("model_type", "llama") == "llama"
    and variant.get("rope", {}).get("rope_type", "default") == "default"
    and variant.get("hidden_act") != "gelu_pytorch_tanh"  # gelu_new by another name
]


@pytest.mark.parametrize("name", PLAIN)
def test_numpy_forward_equals_transformers(name: str, tmp_path: Path) -> None:
    facts = json.loads((GOLDEN / "llamas.json").read_text(encoding="utf-8"))["variants"][name]
    model = NumpyLlama.open(write_llama(tmp_path, seed=facts["seed"], **LLAMAS[name]))
    cuts = np.cumsum(facts["lengths"])[:-1]
    with np.load(GOLDEN / "llamas.npz") as golden:
        sequences = np.split(golden[f"{name}.ids"], cuts)
        for ids, logits in zip(sequences, np.split(golden[f"{name}.logits"], cuts), strict=True):
            assert_logits(model(ids.tolist()), logits, FLOAT_LOGITS["f32"], name)
