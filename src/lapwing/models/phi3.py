"""Phi-3 and Phi-4-mini: Llama's blocks with projections in one, part of a head turned, longrope.

Names and defaults of transformers' `models/phi3`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lapwing.models.config import ConfigReader
from lapwing.models.llama import LlamaConfig, finish_config, read_shape, read_window


def read_phi3_config(config: Mapping[str, Any], where: str) -> LlamaConfig:
    """Raises ConfigError naming the key."""
    read = ConfigReader(config, where)
    shape = read_shape(
        read,
        model_type="phi3",
        vocab_size=32064,
        hidden_size=3072,
        intermediate_size=8192,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
    )
    window = read_window(read, config, 0)
    scaling = config.get("rope_scaling")
    if isinstance(scaling, dict) and scaling.get("type", scaling.get("rope_type")) == "yarn":
        renamed = {**scaling, "type": "longrope", "rope_type": "longrope"}
        config = {**config, "rope_scaling": renamed}
    for key in ("attention_bias", "mlp_bias", "lm_head_bias"):
        read.refuse(key, [False], "biases are not part of this family")
    for key in ("full_attn_mod", "interpolate_factor"):
        read.refuse(key, [1], "transformers reads it as 1, too")
    windows = (window,) * int(shape["num_hidden_layers"])
    return finish_config(read, config, where, shape, windows=windows, partial=True, fused=True)
