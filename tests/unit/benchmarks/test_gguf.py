"""GGUF files read back by their own package."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lapwing.bench.export import gguf as export
from lapwing.bench.export.checkpoint import Checkpoint

gguf = pytest.importorskip("gguf")

CONFIG = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 40,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    rng = np.random.default_rng(0)
    at = "model.layers.0"
    shapes = {
        "model.embed_tokens.weight": (40, 16),
        f"{at}.self_attn.q_proj.weight": (16, 16),
        f"{at}.self_attn.k_proj.weight": (8, 16),
        f"{at}.self_attn.v_proj.weight": (8, 16),
        f"{at}.self_attn.o_proj.weight": (16, 16),
        f"{at}.mlp.gate_proj.weight": (24, 16),
        f"{at}.mlp.up_proj.weight": (24, 16),
        f"{at}.mlp.down_proj.weight": (16, 24),
        f"{at}.input_layernorm.weight": (16,),
        f"{at}.post_attention_layernorm.weight": (16,),
        "model.norm.weight": (16,),
    }
    tensors = {name: rng.standard_normal(dims).astype(np.float32) for name, dims in shapes.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return Checkpoint(tmp_path)


def test_every_tensor_is_there_as_it_was(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "F32.gguf"
    export.write_f32(checkpoint, path)
    read = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    assert len(read) == len(list(checkpoint))
    at = "layers.0"
    np.testing.assert_array_equal(read["token_embd.weight"], checkpoint["embed_tokens.weight"])
    np.testing.assert_array_equal(
        read["blk.0.ffn_down.weight"], checkpoint[f"{at}.mlp.down_proj.weight"]
    )
    np.testing.assert_array_equal(
        read["blk.0.attn_v.weight"], checkpoint[f"{at}.self_attn.v_proj.weight"]
    )
    # Two heads of 8: the first half of the first head goes to its even rows.
    q = checkpoint[f"{at}.self_attn.q_proj.weight"]
    np.testing.assert_array_equal(read["blk.0.attn_q.weight"][0:8:2], q[0:4])
    np.testing.assert_array_equal(read["blk.0.attn_q.weight"][9:16:2], q[12:16])


def test_metadata(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "F32.gguf"
    export.write_f32(checkpoint, path)
    fields = gguf.GGUFReader(path).fields
    for key, value in {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.attention.head_count": 2,
        "llama.attention.head_count_kv": 1,
        "llama.rope.freq_base": 10000.0,
        "llama.vocab_size": 40,
    }.items():
        assert fields[key].contents() == value


def test_a_tied_table_is_read_whole_by_a_token(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "F32.gguf"
    export.write_f32(checkpoint, path)
    size = export.size(path)
    assert size.bits_per_weight == 32
    assert size.bytes_per_token == 4 * checkpoint.weights
    assert export.size(path) == size  # from what was kept


def test_neighbours_are_two_halves_side_by_side() -> None:
    rows = np.arange(8, dtype=np.float32)
    assert export.neighbours(rows, 2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
