"""Named variants for `tiny_llamas.write_llama`, each a different way to be wrong.

Every family, odd sizes, every way in which positions turn and every spelling of it, windows, caps,
and the defaults that transformers takes where a config is silent (`omit`).
"""

from __future__ import annotations

from typing import Any

S, G = "sliding_attention", "full_attention"

LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
# Trained on 64 positions; with heads of 16 one pair turns as ever, one between, the rest slowly.
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_theta": 5e5,
}
YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 24,
    "rope_theta": 1e4,
}
# A ramp from pair 0 to pair 6 of 8.
YARN_RAMP = {**YARN, "beta_fast": 2.0, "beta_slow": 0.15, "rope_theta": 100.0}
LONGROPE = {  # for 4 pairs
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.3, 1.6],
    "long_factor": [1.2, 2.0, 3.5, 6.0],
    "rope_theta": 1e4,
}
HEADS_OF_16 = {"hidden_size": 64, "num_attention_heads": 4}
# Sequences on either side of 16 turn by different factors.
PHI3_LONG = {"model_type": "phi3", "original_max_position_embeddings": 16, "rope": LONGROPE}
WINDOW_QWEN = {"sliding_window": 8, "use_sliding_window": True, "num_hidden_layers": 3}

LLAMAS: dict[str, dict[str, Any]] = {
    "llama": {},
    # Sizes.
    "odd": {  # heads of 12, one of keys
        "hidden_size": 60,
        "num_attention_heads": 5,
        "num_key_value_heads": 1,
        "intermediate_size": 101,
        "vocab_size": 53,
    },
    "prime": {  # heads of 6, side by side narrower than D
        "hidden_size": 35,
        "num_attention_heads": 5,
        "num_key_value_heads": 5,
        "head_dim": 6,
        "intermediate_size": 37,
        "vocab_size": 31,
    },
    "heads_of_10": {"hidden_size": 30, "num_attention_heads": 3, "num_key_value_heads": 3},
    "heads_of_14": {"hidden_size": 42, "num_attention_heads": 3, "num_key_value_heads": 1},
    "narrow_heads": {  # heads of 2: one pair
        "hidden_size": 24,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
    },
    "wide": {  # heads of 80, K beyond one 128 block
        "hidden_size": 160,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 200,
        "num_hidden_layers": 1,
    },
    "one_head": {"num_attention_heads": 1, "num_key_value_heads": 1, "num_hidden_layers": 3},
    "grouped": {"num_attention_heads": 8, "num_key_value_heads": 2},
    "multi_query": {"num_attention_heads": 8, "num_key_value_heads": 1},
    "multi_head": {"num_attention_heads": 8, "num_key_value_heads": 8},
    "wide_heads": {"head_dim": 20, "generation": "rope_parameters"},  # wider than D
    "long": {"max_position_embeddings": 300, "vocab_size": 29},
    # Keys of the config.
    "tied": {"tie_word_embeddings": True},
    "attention_bias": {"attention_bias": True},
    "mlp_bias": {"mlp_bias": True, "generation": "rope_parameters"},
    "gelu": {"hidden_act": "gelu"},
    "gelu_pytorch_tanh": {"hidden_act": "gelu_pytorch_tanh"},
    "relu": {"hidden_act": "relu"},
    "large_epsilon": {"rms_norm_eps": 0.1},
    "theta": {"rope": {"rope_theta": 5e5}, **HEADS_OF_16},
    "theta_new": {"rope": {"rope_theta": 5e5}, "generation": "rope_parameters", **HEADS_OF_16},
    "llama_defaults": {
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-6,
        "rope": {},
        "omit": (
            "num_key_value_heads rms_norm_eps hidden_act attention_bias mlp_bias "
            "tie_word_embeddings pretraining_tp rope_scaling"
        ),
    },
    "llama_defaults_new": {  # `rope_parameters` without `rope_theta`
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-6,
        "rope": {},
        "generation": "rope_parameters",
        "omit": "num_key_value_heads rms_norm_eps hidden_act tie_word_embeddings",
    },
    # Positions.
    "rope_default": {"rope": {"rope_type": "default", "rope_theta": 1e4}},
    "linear": {"rope": LINEAR, "generation": "type"},
    "linear_rope_type": {"rope": LINEAR},
    "linear_new": {"rope": LINEAR, "generation": "rope_parameters"},
    "linear_both": {"rope": {**LINEAR, "type": "linear"}},
    "dynamic": {"rope": DYNAMIC, "max_position_embeddings": 40, "generation": "type"},
    "dynamic_new": {
        "rope": {**DYNAMIC, "factor": 4.0},
        "max_position_embeddings": 40,
        "generation": "rope_parameters",
    },
    "llama3": {"rope": LLAMA3, **HEADS_OF_16},
    "llama3_new": {"rope": LLAMA3, "generation": "rope_parameters", **HEADS_OF_16},
    "llama3_other": {
        "rope": {**LLAMA3, "low_freq_factor": 0.5, "high_freq_factor": 3.0, "rope_theta": 1e3},
        **HEADS_OF_16,
    },
    "yarn": {"rope": YARN, "generation": "type", **HEADS_OF_16},
    "yarn_new": {"rope": YARN, "generation": "rope_parameters", **HEADS_OF_16},
    "yarn_betas": {"rope": YARN_RAMP, **HEADS_OF_16},
    "yarn_untruncated": {"rope": {**YARN_RAMP, "truncate": False}, **HEADS_OF_16},
    "yarn_attention_factor": {"rope": {**YARN_RAMP, "attention_factor": 1.3}, **HEADS_OF_16},
    "yarn_mscale": {"rope": {**YARN_RAMP, "mscale": 2.0, "mscale_all_dim": 0.5}, **HEADS_OF_16},
    "yarn_mscale_alone": {"rope": {**YARN_RAMP, "mscale": 2.0}, **HEADS_OF_16},
    "yarn_unsaid_length": {  # max_position_embeddings is the length it was trained on
        "rope": {k: v for k, v in YARN_RAMP.items() if not k.startswith("original")},
        **HEADS_OF_16,
    },
    "qwen2_yarn": {"model_type": "qwen2", "rope": YARN, "generation": "type", **HEADS_OF_16},
    # Layouts of files.
    "old": {"generation": "type", "inv_freq": True, "pretraining_tp": 2},  # like early Llama 2s
    "copied_head": {"tie_word_embeddings": True, "copied_head": True},
    "f16": {"dtype": "F16"},
    "bf16": {"dtype": "BF16", "generation": "rope_parameters"},
    "sharded": {"dtype": "F16", "shards": 3},
    # Mistral.
    "mistral": {"model_type": "mistral"},
    "mistral_window": {"model_type": "mistral", "sliding_window": 8},
    "mistral_window_new": {
        "model_type": "mistral",
        "sliding_window": 5,
        "num_hidden_layers": 1,
        "generation": "rope_parameters",
    },
    "mistral_head_dim": {"model_type": "mistral", "head_dim": 10, "generation": "rope_parameters"},
    "mistral_defaults": {
        "model_type": "mistral",
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-6,
        "rope": {},
        "omit": (
            "num_key_value_heads rms_norm_eps hidden_act sliding_window tie_word_embeddings "
            "max_position_embeddings rope_scaling"
        ),
    },
    # Qwen.
    "qwen2": {"model_type": "qwen2"},
    "qwen2_new": {
        "model_type": "qwen2",
        "generation": "rope_parameters",
        "sliding_window": None,
        "layer_types": [G, G],
        "tie_word_embeddings": True,
    },
    "qwen2_odd": {  # heads of 6
        "model_type": "qwen2",
        "hidden_size": 42,
        "num_attention_heads": 7,
        "num_key_value_heads": 1,
        "intermediate_size": 59,
        "vocab_size": 41,
    },
    "qwen2_window": {"model_type": "qwen2", "max_window_layers": 1, **WINDOW_QWEN},
    "qwen2_window_new": {
        "model_type": "qwen2",
        "generation": "rope_parameters",
        "layer_types": [S, G, S],
        **WINDOW_QWEN,
    },
    "qwen2_window_unused": {"model_type": "qwen2", "sliding_window": 8, "max_window_layers": 0},
    "qwen3": {"model_type": "qwen3"},
    "qwen3_new": {
        "model_type": "qwen3",
        "generation": "rope_parameters",
        "layer_types": [G, G],
        "tie_word_embeddings": True,
    },
    "qwen3_bias": {"model_type": "qwen3", "attention_bias": True},
    "qwen3_large_epsilon": {"model_type": "qwen3", "rms_norm_eps": 0.1},
    "qwen3_window": {"model_type": "qwen3", "max_window_layers": 2, **WINDOW_QWEN},
    "qwen3_yarn": {"model_type": "qwen3", "rope": YARN_RAMP, "head_dim": 16},
    "qwen3_defaults": {  # heads of 128, 32 of keys
        "model_type": "qwen3",
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "num_hidden_layers": 1,
        "rms_norm_eps": 1e-6,
        "rope": {},
        "omit": (
            "num_key_value_heads head_dim rms_norm_eps attention_bias use_sliding_window "
            "sliding_window max_window_layers tie_word_embeddings rope_scaling"
        ),
    },
    # SmolLM3: every fourth layer knows no positions, or those that the config names.
    "smollm3": {"model_type": "smollm3", "pretraining_tp": 2, "max_window_layers": 28},
    "smollm3_interval": {"model_type": "smollm3", "no_rope_layer_interval": 2},
    "smollm3_named": {"model_type": "smollm3", "no_rope_layers": [0, 1, 1, 0]},
    "smollm3_new": {
        "model_type": "smollm3",
        "generation": "rope_parameters",
        "no_rope_layers": [1, 0, 1, 0],
        "layer_types": [G, G, G, G],
        "tie_word_embeddings": False,
    },
    "smollm3_window": {  # on the layers without positions
        "model_type": "smollm3",
        "no_rope_layer_interval": 2,
        "sliding_window": 8,
        "use_sliding_window": True,
    },
    "smollm3_window_named": {
        "model_type": "smollm3",
        "layer_types": [S, G, G, S],
        "sliding_window": 8,
        "use_sliding_window": True,
    },
    "smollm3_defaults": {
        "model_type": "smollm3",
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-6,
        "rope": {},
        "omit": (
            "num_key_value_heads rms_norm_eps no_rope_layer_interval tie_word_embeddings "
            "rope_scaling attention_bias mlp_bias"
        ),
    },
    # Phi-3.
    "phi3": {"model_type": "phi3", "attention_bias": False},
    "phi3_odd": {  # heads of 14
        "model_type": "phi3",
        "hidden_size": 42,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "intermediate_size": 53,
        "vocab_size": 43,
    },
    "phi3_window": {"model_type": "phi3", "sliding_window": 8},
    "phi3_partial": {
        "model_type": "phi3",
        "rope": {"rope_theta": 1e4, "partial_rotary_factor": 0.5},
    },
    "phi3_partial_new": {
        "model_type": "phi3",
        "rope": {"rope_theta": 1e4, "partial_rotary_factor": 0.75},
        "generation": "rope_parameters",
        "tie_word_embeddings": True,
        **HEADS_OF_16,
    },
    "phi3_longrope": {**PHI3_LONG, "generation": "type"},
    "phi3_su": {  # as the first Phi-3s called it
        **PHI3_LONG,
        "rope": {**LONGROPE, "rope_type": "su", "original_max_position_embeddings": 16},
        "generation": "type",
    },
    "phi3_longrope_new": {**PHI3_LONG, "generation": "rope_parameters", "sliding_window": 12},
    "phi3_longrope_factor": {**PHI3_LONG, "rope": {**LONGROPE, "factor": 9.0}},
    "phi3_longrope_attention_factor": {**PHI3_LONG, "rope": {**LONGROPE, "attention_factor": 1.4}},
    "phi3_longrope_partial": {  # like Phi-4-mini
        **PHI3_LONG,
        "hidden_size": 64,  # heads of 16, of which 8 turn
        "rope": {**LONGROPE, "partial_rotary_factor": 0.5},
        "generation": "type",
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "lm_head_bias": False,
        "full_attn_mod": 1,
        "interpolate_factor": 1,
    },
    "phi3_defaults": {
        "model_type": "phi3",
        "num_key_value_heads": 4,
        "rope": {},
        "omit": (
            "num_key_value_heads rms_norm_eps sliding_window tie_word_embeddings "
            "original_max_position_embeddings rope_scaling embd_pdrop resid_pdrop"
        ),
    },
    # Gemma.
    "gemma2": {"model_type": "gemma2", "cache_implementation": "hybrid", "hidden_act": "silu"},
    "gemma2_scalar": {"model_type": "gemma2", "query_pre_attn_scalar": 24},
    "gemma2_odd": {  # heads of 10, side by side narrower than D
        "model_type": "gemma2",
        "hidden_size": 45,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "head_dim": 10,
        "intermediate_size": 47,
        "vocab_size": 41,
        "num_hidden_layers": 3,
    },
    "gemma2_new": {
        "model_type": "gemma2",
        "generation": "rope_parameters",
        "layer_types": [G, S, S],
        "num_hidden_layers": 3,
        "sliding_window": 6,
    },
    "gemma2_uncapped": {
        "model_type": "gemma2",
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
    },
    "gemma2_untied_bias": {
        "model_type": "gemma2",
        "tie_word_embeddings": False,
        "attention_bias": True,
        "hidden_activation": "gelu",
    },
    "gemma2_bf16": {"model_type": "gemma2", "dtype": "BF16"},
    "gemma2_defaults": {  # heads of 256, 4 of keys; caps of 50 and 30; scores by 256^-0.5
        "model_type": "gemma2",
        "head_dim": 256,
        "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-6,
        "rope": {},
        "omit": (
            "head_dim num_key_value_heads query_pre_attn_scalar rms_norm_eps "
            "hidden_activation attn_logit_softcapping final_logit_softcapping "
            "sliding_window tie_word_embeddings attention_bias rope_scaling"
        ),
    },
    "gemma3": {"model_type": "gemma3_text", "cache_implementation": "hybrid"},
    "gemma3_odd": {  # heads of 6
        "model_type": "gemma3_text",
        "hidden_size": 35,
        "num_attention_heads": 5,
        "num_key_value_heads": 1,
        "head_dim": 6,
        "intermediate_size": 43,
        "vocab_size": 41,
    },
    "gemma3_pattern": {
        "model_type": "gemma3_text",
        "sliding_window_pattern": 3,
        "num_hidden_layers": 3,
        "query_pre_attn_scalar": 20,
    },
    "gemma3_new": {
        "model_type": "gemma3_text",
        "generation": "rope_parameters",
        "layer_types": [G, S, S],
        "num_hidden_layers": 3,
        "use_bidirectional_attention": False,
        "_sliding_window_pattern": 6,
        "omit": "sliding_window_pattern",
    },
    "gemma3_linear": {
        "model_type": "gemma3_text",
        "rope": {G: {**LINEAR, "rope_theta": 1e6}, S: {"rope_theta": 1e4}},
    },
    "gemma3_linear_new": {
        "model_type": "gemma3_text",
        "generation": "rope_parameters",
        "rope": {G: {**LINEAR, "factor": 8.0}, S: {"rope_theta": 1e3}},
    },
    "gemma3_capped": {"model_type": "gemma3_text", "final_logit_softcapping": 3.0},
    "gemma3_f16": {"model_type": "gemma3_text", "dtype": "F16"},
    "gemma3_defaults": {  # heads of 256, 4 of keys; the sixth layer sees everything
        "model_type": "gemma3_text",
        "head_dim": 256,
        "num_key_value_heads": 4,
        "num_hidden_layers": 6,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-6,
        "rope": {},
        "omit": (
            "head_dim num_key_value_heads query_pre_attn_scalar rms_norm_eps "
            "hidden_activation attn_logit_softcapping final_logit_softcapping "
            "sliding_window_pattern tie_word_embeddings attention_bias rope_scaling"
        ),
    },
}
