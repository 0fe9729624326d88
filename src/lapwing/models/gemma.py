"""Gemma 2 and Gemma 3 (text): Llama's attention and MLP between four norms a layer.

Norms store their distance from 1, embeddings are scaled by √D, scores and logits may be capped,
layers with a window alternate with those that see everything. Names and defaults of transformers'
`models/gemma2` and `models/gemma3`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lapwing.backends.base import Floats
from lapwing.layers.ops import Ops
from lapwing.layers.step import Step
from lapwing.models.config import ConfigReader
from lapwing.models.llama import (
    Llama,
    LlamaAttention,
    LlamaConfig,
    LlamaMLP,
    finish_keys,
    read_layer_types,
    read_shape,
    read_window,
)
from lapwing.models.rope import Rope, read_rope, refuse_two_scalings, rope_of
from lapwing.weights.scope import Scope

SLIDING, FULL = "sliding_attention", "full_attention"


@dataclass(frozen=True)
class GemmaConfig(LlamaConfig):
    """What Gemma has besides."""

    query_pre_attn_scalar: int = 256
    attn_logit_softcapping: float = 0.0  # 0: none
    final_logit_softcapping: float = 0.0


def read_gemma2_config(config: Mapping[str, Any], where: str) -> GemmaConfig:
    """Raises ConfigError naming the key."""
    read = ConfigReader(config, where)
    shape = _shape(read, "gemma2", 256000, 8192)
    n_layers = shape["num_hidden_layers"]
    kinds = read_layer_types(
        read, config, [SLIDING if (i + 1) % 2 else FULL for i in range(n_layers)]
    )
    rope = read_rope(
        config,
        read,
        where,
        head_dim=shape["head_dim"],
        max_position_embeddings=shape["max_position_embeddings"],
    )
    return _finish(read, config, shape, kinds, (rope,), caps=(50.0, 30.0))


def read_gemma3_config(config: Mapping[str, Any], where: str) -> GemmaConfig:
    """Of `gemma3_text`. Raises ConfigError naming the key."""
    read = ConfigReader(config, where)
    shape = _shape(read, "gemma3_text", 262208, 131072)
    n_layers = shape["num_hidden_layers"]
    pattern = read.get("sliding_window_pattern", 6, at_least=1)
    read.ignore("_sliding_window_pattern")
    kinds = read_layer_types(
        read, config, [SLIDING if (i + 1) % pattern else FULL for i in range(n_layers)]
    )
    read.refuse("attn_logit_softcapping", [None], "transformers does not apply it in Gemma 3")
    ropes = _gemma3_ropes(read, config, where, shape)
    return _finish(read, config, shape, kinds, ropes, caps=(0.0, 0.0), qk_norm=True)


def _shape(read: ConfigReader, model_type: str, vocab_size: int, length: int) -> dict[str, Any]:
    return read_shape(
        read,
        model_type=model_type,
        vocab_size=vocab_size,
        hidden_size=2304,
        intermediate_size=9216,
        num_hidden_layers=26,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=256,
        max_position_embeddings=length,
        tie_word_embeddings=True,
        activation_key="hidden_activation",
        activation="gelu_pytorch_tanh",
    )


def _gemma3_ropes(
    read: ConfigReader, config: Mapping[str, Any], where: str, shape: dict[str, Any]
) -> tuple[Rope, Rope]:
    """Of layers with a window, of those without."""
    sizes = {
        "head_dim": shape["head_dim"],
        "max_position_embeddings": shape["max_position_embeddings"],
    }
    read.ignore("rope_parameters", "rope_scaling", "rope_theta", "rope_local_base_freq")
    given = config.get("rope_parameters") or {}
    if not isinstance(given, dict):
        raise read.error("rope_parameters", f"expected an object, got {given!r}")
    local: Mapping[str, Any]
    if given and set(given) - {FULL, SLIDING}:
        raise read.error("rope_parameters", f"expected one for {SLIDING} and one for {FULL}")
    local = given.get(SLIDING) or {"rope_theta": config.get("rope_local_base_freq", 10000.0)}
    if given:
        whole, key = given.get(FULL) or {}, "rope_parameters"
        refuse_two_scalings(config, read)
    else:
        scaling = config.get("rope_scaling") or {}
        whole = {"rope_theta": config.get("rope_theta", 1_000_000.0), **scaling}
        key = "rope_scaling"
    where = f"{where}: {key}"
    return (
        rope_of(local, where, rope_theta=10_000.0, **sizes),
        rope_of(whole, where, rope_theta=1_000_000.0, **sizes),
    )


def _finish(
    read: ConfigReader,
    config: Mapping[str, Any],
    shape: dict[str, Any],
    kinds: list[str],
    ropes: tuple[Rope, ...],
    *,
    caps: tuple[float, float],
    qk_norm: bool = False,
) -> GemmaConfig:
    window = read_window(read, config, 4096)
    bias = read.get("attention_bias", False)
    read.refuse("use_bidirectional_attention", [False], "only causal attention is")
    read.ignore("hidden_act", "cache_implementation")  # older files have both kinds of activation
    keys = ("attn_logit_softcapping", "final_logit_softcapping")
    caps_read: dict[str, Any] = {
        key: 0.0 if key in config and config[key] is None else read.get(key, cap, at_least=0)
        for key, cap in zip(keys, caps, strict=True)
    }
    read.ignore(*keys)
    scalar = read.get("query_pre_attn_scalar", 256, at_least=1)
    finish_keys(read)
    return GemmaConfig(
        **shape,
        ropes=ropes,
        layer_ropes=tuple(0 if kind == SLIDING or len(ropes) == 1 else 1 for kind in kinds),
        windows=tuple(window if kind == SLIDING else 0 for kind in kinds),
        qkv_bias=bias,
        o_bias=bias,
        qk_norm=qk_norm,
        query_pre_attn_scalar=scalar,
        **caps_read,
    )


class GemmaLayer:
    """h + norm(attention(norm(h))), then h + norm(mlp(norm(h)))."""

    def __init__(self, config: GemmaConfig, layer: int, weights: Scope, ops: Ops) -> None:
        D, eps = config.hidden_size, config.rms_norm_eps
        self.input_layernorm = ops.rms_norm(weights["input_layernorm"], D, eps, offset=1)
        self.self_attn = LlamaAttention(
            config,
            layer,
            weights["self_attn"],
            ops,
            scale=config.query_pre_attn_scalar**-0.5,
            softcap=config.attn_logit_softcapping,
            norm_offset=1,
        )
        self.post_attention_layernorm = ops.rms_norm(
            weights["post_attention_layernorm"], D, eps, offset=1
        )
        self.pre_feedforward_layernorm = ops.rms_norm(
            weights["pre_feedforward_layernorm"], D, eps, offset=1
        )
        self.mlp = LlamaMLP(config, weights["mlp"], ops)
        self.post_feedforward_layernorm = ops.rms_norm(
            weights["post_feedforward_layernorm"], D, eps, offset=1
        )

    def __call__(self, h: Floats, step: Step, rotations: Floats | None) -> Floats:
        attended = self.self_attn(self.input_layernorm(h), step, rotations)
        h = self.post_attention_layernorm(attended, residual=h)
        return self.post_feedforward_layernorm(
            self.mlp(self.pre_feedforward_layernorm(h), step), residual=h
        )


class Gemma(Llama):
    """Token ids → hidden states → logits."""

    config: GemmaConfig
    layer_class = GemmaLayer
    norm_offset = 1.0

    def embed(self, step: Step) -> Floats:
        """Token embeddings times √D [T, D]."""
        return self.embed_tokens.scaled(step.ids, math.sqrt(self.config.hidden_size))

    def logits(self, h: Floats, precision: str) -> Floats:
        """[T, D] → [T, V]."""
        return self.lm_head(h, precision, softcap=self.config.final_logit_softcapping)
