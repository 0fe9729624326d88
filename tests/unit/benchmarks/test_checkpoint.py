"""Checkpoints as exporters read them."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.accounting import bytes_read, multiply_adds
from benchmarks.models import find
from benchmarks.synthetic import SHAPES, tensors
from lapwing.bench.export.checkpoint import Checkpoint
from lapwing.bench.peers.base import Facts, Workload


def test_bf16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 0.15625], np.float32)  # exact in bf16
    save_file({"model.norm.weight": values}, tmp_path / "model.safetensors")
    path = tmp_path / "model.safetensors"
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["model.norm.weight"] |= {"dtype": "BF16", "data_offsets": [0, 6]}
    text = json.dumps(header).encode()
    halves = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    path.write_bytes(len(text).to_bytes(8, "little") + text + halves)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    np.testing.assert_array_equal(Checkpoint(tmp_path)["norm.weight"], values)


def test_llama3_divides_low_frequencies_and_leaves_high_ones(tmp_path: Path) -> None:
    """Against transformers' rule: wavelengths under 2048 stay, those above 8192 are × 32."""
    save_file({"norm.weight": np.ones(1, np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SHAPES["llama-3.2-1b"]))
    factors = Checkpoint(tmp_path).rope_factors()
    wavelengths = 2 * np.pi * 500000.0 ** (np.arange(0, 64, 2) / 64)
    assert factors[wavelengths < 8192 / 4] == pytest.approx(1)
    assert factors[wavelengths > 8192] == pytest.approx(32)
    between = factors[(wavelengths > 8192 / 4) & (wavelengths < 8192)]
    assert ((between > 1) & (between < 32)).all()


def test_bert_base_has_its_weights() -> None:
    """109.48 million with the pooler, whose 590,592 an encoder of means has not."""
    count = sum(int(np.prod(dims)) for _, dims in tensors(SHAPES["bert-base"]))
    assert count == 109_482_240 - 590_592


def test_bytes_and_multiply_adds_by_hand(tmp_path: Path) -> None:
    model = find("tales", tmp_path)
    D, V, layers = 256, 2048, 4
    work = Workload("w", "decode", ((1, 2), (3, 4)), ((5, 6),) * 4)
    facts = Facts(None, 1000, "file", kv_bytes_each=2)
    # Four passes; two sequences, on the average 2 + 2 tokens deep.
    assert bytes_read(model, work, facts) == 4 * (1000 + 2 * 4 * 2 * 2 * layers * D)
    prompt = Workload("p", "prefill", ((1, 2, 3),))
    linears, pairs = layers * 12 * D * D, 6
    assert multiply_adds(model, prompt) == 3 * linears + D * V + pairs * 2 * layers * D
