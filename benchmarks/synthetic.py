"""Random checkpoints at true shapes, made on the spot: weights N(0, 0.02), norms 1."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

# config.json, but for gpt2 without its defaults' keys
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2-124m": {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024},
    "gpt2-0.5b": {"n_embd": 1280, "n_layer": 24, "n_head": 20, "n_positions": 1024},
    "smollm2-135m": {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "rope_theta": 100000.0,
        "tie_word_embeddings": True,
    },
    "qwen2.5-0.5b": {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
    },
    "llama-3.2-1b": {
        "model_type": "llama",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "tie_word_embeddings": True,
    },
    "bert-base": {
        "model_type": "bert",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    },
}
VOCAB = 50257  # of the GPT-2s
NUMPY = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def tensors(shape: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes in file order."""
    if "model_type" not in shape:
        return _gpt2(shape)
    return _bert(shape) if shape["model_type"] == "bert" else _llama(shape)


def _gpt2(shape: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    D = shape["n_embd"]
    yield "wte.weight", (VOCAB, D)
    yield "wpe.weight", (shape["n_positions"], D)
    for i in range(shape["n_layer"]):
        for name, K, N in (
            ("attn.c_attn", D, 3 * D),
            ("attn.c_proj", D, D),
            ("mlp.c_fc", D, 4 * D),
            ("mlp.c_proj", 4 * D, D),
        ):
            yield f"h.{i}.{name}.weight", (K, N)
            yield f"h.{i}.{name}.bias", (N,)
        for norm in ("ln_1", "ln_2"):
            yield f"h.{i}.{norm}.weight", (D,)
            yield f"h.{i}.{norm}.bias", (D,)
    yield "ln_f.weight", (D,)
    yield "ln_f.bias", (D,)


def _llama(shape: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    D, F, H = shape["hidden_size"], shape["intermediate_size"], shape["num_attention_heads"]
    Dh = shape.get("head_dim", D // H)
    q, kv = H * Dh, shape["num_key_value_heads"] * Dh
    yield "model.embed_tokens.weight", (shape["vocab_size"], D)
    for i in range(shape["num_hidden_layers"]):
        at = f"model.layers.{i}"
        for name, N in (("q_proj", q), ("k_proj", kv), ("v_proj", kv)):
            yield f"{at}.self_attn.{name}.weight", (N, D)
            if shape["model_type"] == "qwen2":
                yield f"{at}.self_attn.{name}.bias", (N,)
        yield f"{at}.self_attn.o_proj.weight", (D, q)
        yield f"{at}.mlp.gate_proj.weight", (F, D)
        yield f"{at}.mlp.up_proj.weight", (F, D)
        yield f"{at}.mlp.down_proj.weight", (D, F)
        yield f"{at}.input_layernorm.weight", (D,)
        yield f"{at}.post_attention_layernorm.weight", (D,)
    yield "model.norm.weight", (D,)


def _bert(shape: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    D, F = shape["hidden_size"], shape["intermediate_size"]

    def norm(at: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{at}.LayerNorm.weight", (D,)
        yield f"{at}.LayerNorm.bias", (D,)

    yield "embeddings.word_embeddings.weight", (shape["vocab_size"], D)
    yield "embeddings.position_embeddings.weight", (shape["max_position_embeddings"], D)
    yield "embeddings.token_type_embeddings.weight", (shape["type_vocab_size"], D)
    yield from norm("embeddings")
    for i in range(shape["num_hidden_layers"]):
        at = f"encoder.layer.{i}"
        for name, K, N in (
            ("attention.self.query", D, D),
            ("attention.self.key", D, D),
            ("attention.self.value", D, D),
            ("attention.output.dense", D, D),
            ("intermediate.dense", D, F),
            ("output.dense", F, D),
        ):
            yield f"{at}.{name}.weight", (N, K)
            yield f"{at}.{name}.bias", (N,)
        yield from norm(f"{at}.attention.output")
        yield from norm(f"{at}.output")


def write(directory: Path, name: str, dtype: str = "F16", seed: int = 0) -> Path:
    """A model directory of a named shape; an existing one is kept."""
    target = directory / f"{name}-{dtype.lower()}"
    if (target / "config.json").exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    shape = SHAPES[name]
    kind = np.dtype(NUMPY[dtype])
    header, offset = {}, 0
    for tensor, dims in tensors(shape):
        nbytes = int(np.prod(dims)) * kind.itemsize
        header[tensor] = {
            "dtype": dtype,
            "shape": list(dims),
            "data_offsets": [offset, offset + nbytes],
        }
        offset += nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 64)
    # One block of normal values, read from a random offset for each tensor: fast and varied.
    rng = np.random.default_rng(seed)
    block = _stored(rng.standard_normal(1 << 22, np.float32) * np.float32(0.02), dtype)
    with (target / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for tensor, dims in tensors(shape):
            count = int(np.prod(dims))
            if ".ln_" in tensor or tensor.startswith("ln_f") or "norm" in tensor.lower():
                value = np.float32(tensor.endswith("weight"))
                file.write(_stored(np.full(count, value, np.float32), dtype).tobytes())
                continue
            while count:
                begin = int(rng.integers(0, block.size // 2))
                part = block[begin : begin + count]
                file.write(part.tobytes())
                count -= part.size
    config = (
        shape if "model_type" in shape else {"model_type": "gpt2", "vocab_size": VOCAB, **shape}
    )
    (target / "config.json").write_text(json.dumps(config))
    return target


def _stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """As the file has them; bf16 by truncation."""
    if dtype == "BF16":
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(NUMPY[dtype])
