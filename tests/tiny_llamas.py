"""Tiny random Llamas and friends, the same bytes from the same seed everywhere.

Drawn like the GPT-2s of tiny.py.  Tensor names and config keys are those that transformers writes
(`models/{llama,mistral,qwen2,qwen3,smollm3,phi3,gemma2,gemma3}`), and those of older files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tiny import Draw, Dtype, FloatArray, write_safetensors, write_shards

# Where a config says how positions turn: `rope_scaling` with a `type` (transformers up to 4.42),
# the same with a `rope_type` (up to 4.57), `rope_parameters` (5).
Generation = Literal["type", "rope_type", "rope_parameters"]
_VERSIONS = {"type": "4.40.0", "rope_type": "4.50.0", "rope_parameters": "5.0.0"}

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
}
GEMMAS = ("gemma2", "gemma3_text")

# Keys of config.json where a variant says nothing.
_COMMON: dict[str, Any] = {
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "max_position_embeddings": 96,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": 37,
}
_SILU = {"hidden_act": "silu"}
_GEMMA = {
    "attention_bias": False,
    "head_dim": 8,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 8,
    "sliding_window": 8,
    "tie_word_embeddings": True,
}
_KEYS: dict[str, dict[str, Any]] = {
    "llama": {**_SILU, "attention_bias": False, "mlp_bias": False, "pretraining_tp": 1},
    "mistral": {**_SILU, "sliding_window": None},
    "qwen2": {
        **_SILU,
        "max_window_layers": 28,
        "sliding_window": 32768,
        "use_sliding_window": False,
    },
    "qwen3": {
        **_SILU,
        "attention_bias": False,
        "head_dim": 12,
        "max_window_layers": 28,
        "sliding_window": None,
        "use_sliding_window": False,
    },
    "smollm3": {
        **_SILU,
        "attention_bias": False,
        "mlp_bias": False,
        "no_rope_layer_interval": 4,
        "num_hidden_layers": 4,
        "pad_token_id": 0,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
    "phi3": {
        **_SILU,
        "embd_pdrop": 0.0,
        "original_max_position_embeddings": 96,
        "pad_token_id": 0,
        "resid_pdrop": 0.0,
        "sliding_window": None,
    },
    "gemma2": {**_GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3_text": {
        **_GEMMA,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "sliding_window_pattern": 2,
    },
}
_GEMMA3_ROPE: dict[str, Any] = {
    "full_attention": {"rope_theta": 1e6},
    "sliding_attention": {"rope_theta": 1e4},
}


def write_llama(
    directory: Path,
    *,
    seed: int,
    model_type: str = "llama",
    generation: Generation = "rope_type",
    rope: Mapping[str, Any] | None = None,
    omit: str = "",
    copied_head: bool = False,
    inv_freq: bool = False,
    dtype: Dtype = "F32",
    shards: int = 1,
    **keys: Any,
) -> Path:
    """Write config.json and safetensors of a random model to `directory`; return `directory`.

    `keys` are keys of config.json.  `rope` is what transformers 5 calls `rope_parameters`, written
    as `generation` has it.  `omit`: keys that the file leaves to their defaults.  `copied_head`: a
    tied head that is in the file all the same.  `inv_freq`: every layer's frequencies as a tensor.
    """
    config = {
        "architectures": [ARCHITECTURES[model_type]],
        "model_type": model_type,
        **_COMMON,
        **_KEYS[model_type],
        **keys,
    }
    draw = Draw(seed)
    tensors = _tensors(draw, config)
    if not config["tie_word_embeddings"]:
        D = config["hidden_size"]
        tensors["lm_head.weight"] = draw.matrix(config["vocab_size"], D, fan_in=D)
    elif copied_head:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    if inv_freq:
        turns = np.linspace(1.0, 0.01, _head_dim(config) // 2, dtype=np.float32)
        for i in range(config["num_hidden_layers"]):
            tensors[f"model.layers.{i}.self_attn.rotary_emb.inv_freq"] = turns

    config["transformers_version"] = _VERSIONS[generation]
    stored = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[dtype]
    config["dtype" if generation == "rope_parameters" else "torch_dtype"] = stored
    config |= _rope_keys(_rope_of(model_type) if rope is None else rope, generation)
    config = {key: value for key, value in config.items() if key not in omit.split()}

    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (directory / "config.json").write_text(text, encoding="utf-8")
    if shards == 1:
        write_safetensors(directory / "model.safetensors", tensors, dtype)
    else:
        write_shards(directory, tensors, dtype, shards)
    return directory


def _rope_of(model_type: str) -> dict[str, Any]:
    return _GEMMA3_ROPE if model_type == "gemma3_text" else {"rope_theta": 1e4}


def _rope_keys(rope: Mapping[str, Any], generation: Generation) -> dict[str, Any]:
    """Keys of config.json; gemma3's `rope` has a dict for each type of layer."""
    local = rope.get("sliding_attention")
    if generation == "rope_parameters":
        default = {"rope_type": "default"}
        if local is None:
            return {"rope_parameters": {**default, **rope}}
        return {"rope_parameters": {kind: {**default, **rope[kind]} for kind in rope}}
    scaling = dict(rope.get("full_attention", rope))
    keys = {
        key: scaling.pop(key) for key in ("rope_theta", "partial_rotary_factor") if key in scaling
    }
    if "rope_type" in scaling:
        scaling[generation] = scaling.pop("rope_type")
    if local is not None:
        keys["rope_local_base_freq"] = local["rope_theta"]
    return {**keys, "rope_scaling": scaling or None}


def _head_dim(config: Mapping[str, Any]) -> int:
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def _tensors(draw: Draw, config: Mapping[str, Any]) -> dict[str, FloatArray]:
    """Tensors by checkpoint name, without a head of its own; weights of linears are [out, in]."""
    model_type, Dh = config["model_type"], _head_dim(config)
    D, F, V = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    H, Hkv = config["num_attention_heads"], config["num_key_value_heads"]
    is_gemma, has_bias = model_type in GEMMAS, config.get("attention_bias", False)
    if model_type == "phi3":
        has_bias = False  # whatever its config says
    tensors: dict[str, FloatArray] = {}

    def linear(name: str, n_in: int, n_out: int, *, bias: bool = False) -> None:
        tensors[f"{name}.weight"] = draw.matrix(n_out, n_in, fan_in=n_in)
        if bias:
            tensors[f"{name}.bias"] = draw.vector(n_out, 0.0, 0.1)

    def norm(name: str, n: int) -> None:  # Gemma's multiply by 1 + weight
        tensors[f"{name}.weight"] = draw.vector(n, 0.0 if is_gemma else 1.0, 0.2)

    linear("model.embed_tokens", D, V)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        attention, mlp = f"{layer}.self_attn", f"{layer}.mlp"
        norm(f"{layer}.input_layernorm", D)
        if model_type == "phi3":
            linear(f"{attention}.qkv_proj", D, (H + 2 * Hkv) * Dh)
        else:
            for name, heads in (("q", H), ("k", Hkv), ("v", Hkv)):
                bias = has_bias or model_type == "qwen2"
                linear(f"{attention}.{name}_proj", D, heads * Dh, bias=bias)
        linear(f"{attention}.o_proj", H * Dh, D, bias=has_bias)
        if model_type in ("qwen3", "gemma3_text"):
            norm(f"{attention}.q_norm", Dh)
            norm(f"{attention}.k_norm", Dh)
        norm(f"{layer}.post_attention_layernorm", D)
        if is_gemma:
            norm(f"{layer}.pre_feedforward_layernorm", D)
            norm(f"{layer}.post_feedforward_layernorm", D)
        if model_type == "phi3":
            linear(f"{mlp}.gate_up_proj", D, 2 * F)
        else:
            for name in ("gate_proj", "up_proj"):
                linear(f"{mlp}.{name}", D, F, bias=config.get("mlp_bias", False))
        linear(f"{mlp}.down_proj", F, D, bias=config.get("mlp_bias", False))
    norm("model.norm", D)
    return tensors
