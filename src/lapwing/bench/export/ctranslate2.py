"""CTranslate2's model folders: its specification, filled from the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lapwing.bench.export.checkpoint import Checkpoint


def token(token_id: int) -> str:
    """Texts that stand for ids: it takes and gives tokens as texts."""
    return f"t{token_id}"


def write(ckpt: Checkpoint, folder: Path, quantization: str) -> None:
    """quantization: float32 or int8. Raises KeyError for another architecture."""
    fill = {"gpt2": _gpt2, "llama": _llama, "qwen2": _llama, "bert": _bert}[ckpt.family]
    spec = fill(ckpt)
    spec.register_vocabulary([token(i) for i in range(ckpt.shape.V)])
    config = spec.config
    config.unk_token = token(0)
    if ckpt.family != "bert":
        config.bos_token = config.eos_token = token(0)
    config.layer_norm_epsilon = ckpt.shape.eps
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def _linear(spec: Any, weight: np.ndarray, bias: np.ndarray | None) -> None:
    spec.weight = np.array(weight, order="C")  # it is scaled in place
    if bias is not None:
        spec.bias = bias


def _norm(spec: Any, weight: np.ndarray, bias: np.ndarray | None = None) -> None:
    spec.gamma = weight
    if bias is not None:
        spec.beta = bias


def _gpt2(ckpt: Checkpoint) -> Any:
    from ctranslate2.specs import TransformerDecoderModelSpec, common_spec

    s = ckpt.shape
    spec = TransformerDecoderModelSpec.from_config(
        s.n_layers, s.H, pre_norm=True, activation=common_spec.Activation.GELUTanh
    )

    def conv(part: Any, name: str) -> None:
        _linear(part, ckpt[f"{name}.weight"].T, ckpt[f"{name}.bias"])

    def norm(part: Any, name: str) -> None:
        _norm(part, ckpt[f"{name}.weight"], ckpt[f"{name}.bias"])

    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = np.array(ckpt["wte.weight"])
    decoder.position_encodings.encodings = np.array(ckpt["wpe.weight"])
    decoder.projection.weight = np.array(ckpt["wte.weight"])
    norm(decoder.layer_norm, "ln_f")
    for i, layer in enumerate(decoder.layer):
        norm(layer.self_attention.layer_norm, f"h.{i}.ln_1")
        conv(layer.self_attention.linear[0], f"h.{i}.attn.c_attn")
        conv(layer.self_attention.linear[1], f"h.{i}.attn.c_proj")
        norm(layer.ffn.layer_norm, f"h.{i}.ln_2")
        conv(layer.ffn.linear_0, f"h.{i}.mlp.c_fc")
        conv(layer.ffn.linear_1, f"h.{i}.mlp.c_proj")
    return spec


def _llama(ckpt: Checkpoint) -> Any:
    from ctranslate2.specs import TransformerDecoderModelSpec, attention_spec, common_spec

    s, scaling = ckpt.shape, ckpt.config.get("rope_scaling")
    spec = TransformerDecoderModelSpec.from_config(
        s.n_layers,
        s.H,
        pre_norm=True,
        activation=common_spec.Activation.SWISH,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=False,
        rotary_base=s.rope_theta,
        rotary_scaling_type=attention_spec.RotaryScalingType.Llama3 if scaling else None,
        rotary_scaling_factor=scaling["factor"] if scaling else 1,
        num_heads_kv=s.Hkv if s.Hkv != s.H else None,
        head_dim=s.Dh,
    )

    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = np.array(ckpt["embed_tokens.weight"])
    tied = "lm_head.weight" not in ckpt
    decoder.projection.weight = np.array(ckpt["embed_tokens.weight" if tied else "lm_head.weight"])
    _norm(decoder.layer_norm, ckpt["norm.weight"])
    for i, layer in enumerate(decoder.layer):
        at, attention = f"layers.{i}", layer.self_attention
        if scaling:
            attention.rotary_low_freq_factor = np.float32(scaling["low_freq_factor"])
            attention.rotary_high_freq_factor = np.float32(scaling["high_freq_factor"])
        parts = [f"{at}.self_attn.{part}_proj" for part in "qkv"]
        biases = [ckpt.get(f"{part}.bias") for part in parts]
        _norm(attention.layer_norm, ckpt[f"{at}.input_layernorm.weight"])
        _linear(
            attention.linear[0],
            np.concatenate([ckpt[f"{part}.weight"] for part in parts]),
            None if biases[0] is None else np.concatenate([b for b in biases if b is not None]),
        )
        _linear(attention.linear[1], ckpt[f"{at}.self_attn.o_proj.weight"], None)
        _norm(layer.ffn.layer_norm, ckpt[f"{at}.post_attention_layernorm.weight"])
        _linear(layer.ffn.linear_0, ckpt[f"{at}.mlp.gate_proj.weight"], None)
        _linear(layer.ffn.linear_0_noact, ckpt[f"{at}.mlp.up_proj.weight"], None)
        _linear(layer.ffn.linear_1, ckpt[f"{at}.mlp.down_proj.weight"], None)
    return spec


def _bert(ckpt: Checkpoint) -> Any:
    from ctranslate2.specs import common_spec
    from ctranslate2.specs.transformer_spec import (
        TransformerEncoderModelSpec,
        TransformerEncoderSpec,
    )

    def both(name: str) -> tuple[np.ndarray, np.ndarray]:
        return ckpt[f"{name}.weight"], ckpt[f"{name}.bias"]

    s = ckpt.shape
    encoder = TransformerEncoderSpec(
        s.n_layers,
        s.H,
        pre_norm=False,
        activation=common_spec.Activation.GELU,
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    encoder.scale_embeddings = False
    for spec, name in zip(encoder.embeddings, ("word", "token_type"), strict=True):
        spec.weight = np.array(ckpt[f"embeddings.{name}_embeddings.weight"])
    encoder.position_encodings.encodings = np.array(ckpt["embeddings.position_embeddings.weight"])
    _norm(encoder.layernorm_embedding, *both("embeddings.LayerNorm"))
    for i, layer in enumerate(encoder.layer):
        at, attention = f"encoder.layer.{i}", layer.self_attention
        parts = [both(f"{at}.attention.self.{part}") for part in ("query", "key", "value")]
        weight, bias = (np.concatenate(each) for each in zip(*parts, strict=True))
        _linear(attention.linear[0], weight, bias)
        _linear(attention.linear[1], *both(f"{at}.attention.output.dense"))
        _norm(attention.layer_norm, *both(f"{at}.attention.output.LayerNorm"))
        _linear(layer.ffn.linear_0, *both(f"{at}.intermediate.dense"))
        _linear(layer.ffn.linear_1, *both(f"{at}.output.dense"))
        _norm(layer.ffn.layer_norm, *both(f"{at}.output.LayerNorm"))
    return TransformerEncoderModelSpec(encoder)
