"""SmolLM3: Llama's blocks, some of whose layers know no positions (arXiv 2501.18795).

Names and defaults of transformers' `models/smollm3`.
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


def read_smollm3_config(config: Mapping[str, Any], where: str) -> LlamaConfig:
    """Raises ConfigError naming the key."""
    read = ConfigReader(config, where)
    shape = read_shape(
        read,
        model_type="smollm3",
        vocab_size=128256,
        hidden_size=2048,
        num_hidden_layers=36,
        num_attention_heads=16,
        num_key_value_heads=4,
        max_position_embeddings=32768,
        tie_word_embeddings=True,
    )
    n_layers = shape["num_hidden_layers"]
    interval = read.get("no_rope_layer_interval", 4, at_least=1)
    read.ignore("no_rope_layers")
    turned = config.get("no_rope_layers")  # 1 where positions are, despite the name
    if turned is None:
        turned = [int((i + 1) % interval != 0) for i in range(n_layers)]
    if not isinstance(turned, list) or len(turned) != n_layers or set(turned) - {0, 1}:
        raise read.error("no_rope_layers", f"expected {n_layers} of 0 and 1, got {turned!r}")
    window = read_window(read, config, 0)
    used = read.get("use_sliding_window", False)
    if window and not used and "sliding_attention" in (config.get("layer_types") or ()):
        raise read.error("use_sliding_window", "false, but layer_types has sliding_attention")
    window = window if used else 0
    kinds = read_layer_types(
        read,
        config,
        ["sliding_attention" if window and not rope else "full_attention" for rope in turned],
    )
    read.ignore("max_window_layers")  # Qwen's, in the files; transformers does not read it here
    bias = read.get("attention_bias", False)
    return finish_config(
        read,
        config,
        where,
        shape,
        rope_theta=2_000_000.0,
        layer_ropes=tuple(0 if rope else None for rope in turned),
        windows=tuple(window if kind == "sliding_attention" else 0 for kind in kinds),
        qkv_bias=bias,
        o_bias=bias,
        mlp_bias=read.get("mlp_bias", False),
    )
