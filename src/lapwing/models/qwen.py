"""Qwen2, Qwen2.5 and Qwen3: Llama's blocks with biases of q, k and v, or norms of their heads.

Names and defaults of transformers' `models/qwen2` and `models/qwen3`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lapwing.models.config import ConfigReader
from lapwing.models.llama import (
    LlamaConfig,
    finish_config,
    read_layer_types,
    read_shape,
    read_window,
)


def read_qwen2_config(config: Mapping[str, Any], where: str) -> LlamaConfig:
    """Raises ConfigError naming the key."""
    read = ConfigReader(config, where)
    shape = _shape(read, "qwen2")
    windows = _windows(read, config, shape)
    return finish_config(read, config, where, shape, windows=windows, qkv_bias=True)


def read_qwen3_config(config: Mapping[str, Any], where: str) -> LlamaConfig:
    """Raises ConfigError naming the key."""
    read = ConfigReader(config, where)
    bias = read.get("attention_bias", False)
    shape = _shape(read, "qwen3", head_dim=128)
    windows = _windows(read, config, shape)
    return finish_config(
        read, config, where, shape, windows=windows, qkv_bias=bias, o_bias=bias, qk_norm=True
    )


def _shape(read: ConfigReader, model_type: str, head_dim: int | None = None) -> dict[str, Any]:
    return read_shape(
        read,
        model_type=model_type,
        vocab_size=151936,
        intermediate_size=22016,
        num_key_value_heads=32,
        max_position_embeddings=32768,
        head_dim=head_dim,
    )


def _windows(
    read: ConfigReader, config: Mapping[str, Any], shape: dict[str, Any]
) -> tuple[int, ...]:
    """Layers from max_window_layers on, where windows are in use at all."""
    window = read_window(read, config, 4096)
    window = window if read.get("use_sliding_window", False) else 0
    first = read.get("max_window_layers", 28, at_least=0)
    kinds = read_layer_types(
        read,
        config,
        [
            "sliding_attention" if window and i >= first else "full_attention"
            for i in range(shape["num_hidden_layers"])
        ],
    )
    return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)
