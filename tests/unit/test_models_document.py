"""docs/models.md: its numbers are counted anew, from the configurations the hub has."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_encoders
import tiny_llamas
from tiny import Dtype, FloatArray, Tensor

from lapwing.advise.inventory import take_inventory
from lapwing.engine.load import inspect

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "models.md"

# Keys of config.json that decide sizes, as the hub has them.
SMOLLM2 = {
    "model_type": "llama",
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "rope": {"rope_theta": 100000.0},
    "dtype": "BF16",
}
DECODERS: dict[str, dict[str, Any]] = {
    "HuggingFaceTB/SmolLM2-135M": {
        **SMOLLM2,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    "HuggingFaceTB/SmolLM2-360M": {
        **SMOLLM2,
        "hidden_size": 960,
        "intermediate_size": 2560,
        "num_hidden_layers": 32,
        "num_attention_heads": 15,
        "num_key_value_heads": 5,
    },
    "Qwen/Qwen2.5-0.5B": {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
        "rope": {"rope_theta": 1000000.0},
        "dtype": "BF16",
    },
}
DISTILGPT2 = {"n_embd": 768, "n_head": 12, "n_layer": 6, "vocab_size": 50257, "n_positions": 1024}
ENCODERS: dict[str, dict[str, Any]] = {
    "sentence-transformers/all-MiniLM-L6-v2": {
        "family": "bert",
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "vocab_size": 30522,
        "max_position_embeddings": 512,
    },
    "distilbert/distilbert-base-uncased": {
        "family": "distilbert",
        "head": "mlm",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "vocab_size": 30522,
        "max_position_embeddings": 512,
    },
    "distilbert/distilroberta-base": {
        "family": "roberta",
        "head": "mlm",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "vocab_size": 50265,
        "max_position_embeddings": 514,
    },
}
NAMES = ("distilbert/distilgpt2", *DECODERS, *ENCODERS)


class Blank:
    """Draws shapes: arrays of any size that take no memory."""

    def __init__(self, seed: int) -> None:
        pass

    def matrix(self, rows: int, columns: int, *, fan_in: int) -> FloatArray:
        return np.broadcast_to(np.float32(0), (rows, columns))

    def vector(self, n: int, mean: float, std: float) -> FloatArray:
        return np.broadcast_to(np.float32(0), (n,))


def write_hollow(path: Path, tensors: Mapping[str, Tensor], dtype: Dtype) -> None:
    """A safetensors file whose data is a hole: it has its size, and takes no disk."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + math.prod(tensor.shape) * (4 if dtype == "F32" else 2)
        header[name] = {"dtype": dtype, "shape": tensor.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with path.open("r+b") as file:
        file.truncate(8 + len(text) + end)


@pytest.fixture
def hollow(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tiny, tiny_llamas, tiny_encoders):
        monkeypatch.setattr(module, "Draw", Blank)
        monkeypatch.setattr(module, "write_safetensors", write_hollow)


def write(name: str, directory: Path) -> Path:
    if name in DECODERS:
        return tiny_llamas.write_llama(directory, seed=0, **DECODERS[name])
    if name in ENCODERS:
        return tiny_encoders.write_encoder(directory, seed=0, **ENCODERS[name])
    return tiny.write_gpt2(directory, seed=0, **DISTILGPT2)


def rows() -> dict[str, list[str]]:
    """Cells behind the name, by name, of every table line that begins with one."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(r"^\| `([\w./-]+)` \| (.+) \|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in found}


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_counted(name: str, tmp_path: Path, hollow: None) -> None:
    directory = write(name, tmp_path)
    int8, int4 = (take_inventory(directory, dtype) for dtype in ("int8", "int4"))
    counted = [int8.stored.weights, int8.stored.nbytes, int8.resident.nbytes, int4.resident.nbytes]
    assert [int(cell.replace(",", "")) for cell in rows()[name][:4]] == counted, name
    assert int(rows()[name][4].replace(",", "")) == int8.context_length
    if name not in ENCODERS:
        network, _, checkpoint = inspect(directory)
        with checkpoint:
            cache = network.cache_shape  # type: ignore[union-attr]
        of_a_token = 2 * cache.layers * cache.kv_heads * cache.head_dim * 2  # keys, values; f16
        assert cache.dtype == "f16"
        assert int(rows()[name][5].replace(",", "")) == of_a_token


def test_every_model_is_counted() -> None:
    assert set(rows()) == set(NAMES)


def test_parameters_are_those_that_are_published() -> None:
    """What the model cards, and the counts of transformers, say."""
    published = {
        "distilbert/distilgpt2": 81_912_576,
        "HuggingFaceTB/SmolLM2-135M": 134_515_008,
        "HuggingFaceTB/SmolLM2-360M": 361_821_120,
        "Qwen/Qwen2.5-0.5B": 494_032_768,
        "sentence-transformers/all-MiniLM-L6-v2": 22_713_216,
        "distilbert/distilbert-base-uncased": 66_985_530,
    }
    for name, parameters in published.items():
        assert rows()[name][0] == f"{parameters:,}"
