"""Llama-kind configurations: both generations, real files' keys, refusals by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lapwing import ConfigError
from lapwing.models.config import ConfigReader
from lapwing.models.registry import DECODERS
from lapwing.models.rope import read_rope

# As the hub has Qwen2.5-0.5B, Llama-3.2-1B, SmolLM2-135M, Mistral-7B-v0.1 and Phi-3-mini-128k,
# less what only names tokens and versions; long lists shortened.
QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "hidden_size": 896,
    "initializer_range": 0.02,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "max_window_layers": 24,
    "model_type": "qwen2",
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_mrope": False,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
LLAMA = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "vocab_size": 128256,
}
SMOLLM = {
    "hidden_act": "silu",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "is_llama_config": True,
    "max_position_embeddings": 8192,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "vocab_size": 49152,
}
MISTRAL = {
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "model_type": "mistral",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
    "vocab_size": 32000,
}


def read(config: dict[str, Any], **changes: Any) -> Any:
    return DECODERS[config["model_type"]][0]({**config, **changes}, "dir/config.json")


def refusal(config: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(config, **changes)
    assert str(caught.value).startswith("dir/config.json: ")
    return str(caught.value).removeprefix("dir/config.json: ")


def test_files_of_the_hub() -> None:
    qwen = read(QWEN)
    assert (qwen.head_dim, qwen.qkv_bias, qwen.o_bias, qwen.qk_norm) == (64, True, False, False)
    assert qwen.windows == (0,) * 24
    assert (qwen.context_length, qwen.ropes[0].rope_theta) == (32768, 1e6)
    llama = read(LLAMA)
    assert llama.qkv_sizes == (2048, 512, 512)
    assert (llama.context_length, llama.ropes[0].rope_type) == (131072, "llama3")
    assert read(SMOLLM).tie_word_embeddings
    mistral = read(MISTRAL)
    assert mistral.windows == (4096,) * 32
    assert not mistral.tie_word_embeddings


def test_both_generations_are_one() -> None:
    new = {key: value for key, value in LLAMA.items() if not key.startswith("rope_")}
    new["rope_parameters"] = {**LLAMA["rope_scaling"], "rope_theta": 500000.0}  # type: ignore[dict-item]
    assert read(new) == read(LLAMA)
    plain = {key: value for key, value in QWEN.items() if key != "rope_theta"}
    plain["rope_parameters"] = {"rope_type": "default", "rope_theta": 1000000.0}
    assert read(plain) == read(QWEN)


def test_missing_keys_take_transformers_defaults() -> None:
    """configuration_llama.py: no grouped heads, an untied head, theta 10000."""
    config = read({"model_type": "llama"})
    assert (config.num_key_value_heads, config.head_dim, config.tie_word_embeddings) == (
        32,
        128,
        False,
    )
    assert config.ropes[0].rope_theta == 10000.0
    assert read({"model_type": "qwen3"}).head_dim == 128
    assert read({"model_type": "mistral"}).windows == (4096,) * 32
    gemma = read({"model_type": "gemma3_text"})
    assert gemma.windows[:6] == (4096,) * 5 + (0,)
    assert gemma.layer_ropes[:6] == (0, 0, 0, 0, 0, 1)
    assert [rope.rope_theta for rope in gemma.ropes] == [1e4, 1e6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 7}, "'num_key_value_heads': expected a divisor of 7 heads, got 2"),
        ({"num_attention_heads": 12}, "'num_attention_heads': expected a divisor of the 896"),
        ({"head_dim": 7}, "'head_dim': rotary positions turn pairs; 7 is odd"),
        ({"head_dim": 514}, "'head_dim': expected at most 512, got 514"),
        ({"hidden_act": "mish"}, "'hidden_act': expected one of gelu_new"),
        ({"rope_scaling": [1]}, "'rope_scaling': expected an object, got [1]"),
        ({"rope_scaling": {"type": "ntk"}}, "rope_scaling: 'rope_type': expected one of default"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling: 'factor': linear needs one above 0"),
        ({"rope_scaling": {"type": "linear", "factor": "2"}}, "'factor': expected a number"),
        ({"rope_theta": 0.5}, "'rope_theta': expected at least 1, got 0.5"),
        ({"rope_parameters": {"full_attention": {}}}, "one for each kind of layer is not"),
        ({"partial_rotary_factor": 0.5}, "'partial_rotary_factor': 0.5 is not supported"),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"factor": 3.0}},
            "'rope_scaling': differs from 'rope_parameters'",
        ),
        ({"rope_scaling": {"type": "yarn", "attention_factor": 0}}, "'attention_factor': expected"),
        ({"layer_types": ["full_attention"]}, "'layer_types': expected 24 of full_attention"),
        ({"layer_types": ["chunked"] * 24}, "'layer_types': expected some of full_attention"),
        ({"sliding_window": 0}, "'sliding_window': expected null or at least 1, got 0"),
        ({"quantization_config": {"bits": 4}}, "'quantization_config': {'bits': 4} is not"),
        ({"num_experts": 8}, "likely to change what the model computes: 'num_experts' (8)"),
        ({"use_mrope": True}, "likely to change what the model computes: 'use_mrope' (True)"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(QWEN, **changes)


@pytest.mark.parametrize(
    ("model_type", "changes", "message"),
    [
        ("smollm3", {"no_rope_layers": [1, 0]}, "'no_rope_layers': expected 36 of 0 and 1"),
        ("phi3", {"lm_head_bias": True}, "'lm_head_bias': True is not supported: biases are not"),
        ("phi3", {"rope_scaling": {"type": "su"}}, "'short_factor': expected 48 numbers above 0"),
        ("phi3", {"partial_rotary_factor": 0.01}, "0.01 of a head of 96 is no whole pairs"),
        (
            "smollm3",
            {"sliding_window": 8, "layer_types": ["sliding_attention"] * 36},
            "'use_sliding_window': false, but layer_types has sliding_attention",
        ),
        ("gemma3_text", {"attn_logit_softcapping": 50.0}, "'attn_logit_softcapping': 50.0 is not"),
        ("gemma3_text", {"rope_parameters": {"rope_theta": 1e4}}, "expected one for sliding_atten"),
        ("gemma2", {"use_bidirectional_attention": True}, "only causal attention is"),
        ("gemma3_text", {"rope_parameters": 3}, "'rope_parameters': expected an object, got 3"),
    ],
)
def test_refusals_of_siblings(model_type: str, changes: dict[str, Any], message: str) -> None:
    assert message in refusal({"model_type": model_type}, **changes)


def test_lengths_a_model_may_be_used_at() -> None:
    """yarn and dynamic stretch the original length, the others name what they reach."""
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    assert read(QWEN, rope_scaling=yarn).context_length == 131072
    assert read(QWEN, rope_scaling={"type": "dynamic", "factor": 2.0}).context_length == 65536
    assert read(QWEN, rope_scaling={"type": "linear", "factor": 2.0}).context_length == 32768


def rope(**parameters: Any) -> Any:
    config = {"rope_scaling": parameters, "rope_theta": 10000.0}
    read_all = ConfigReader(config, "c")
    return read_rope(config, read_all, "c", head_dim=8, max_position_embeddings=16)


def test_frequencies_by_hand() -> None:
    """θ = 10⁴ and 8 dimensions: 1, 1/10, 1/100, 1/1000 a position."""
    plain, factor = rope().frequencies(16)
    np.testing.assert_allclose(plain, [1, 0.1, 0.01, 0.001], rtol=1e-6)
    assert factor == 1
    halved, _ = rope(type="linear", factor=2.0).frequencies(16)
    np.testing.assert_allclose(halved, plain / 2, rtol=1e-6)
    stretched = rope(type="dynamic", factor=2.0)
    np.testing.assert_allclose(stretched.frequencies(16)[0], plain, rtol=1e-6)
    # at twice the length θ grows by (2·2 − 1)^(8/6)
    theta = 1e4 * 3 ** (8 / 6)
    want = [theta ** (-k / 8) for k in (0, 2, 4, 6)]
    np.testing.assert_allclose(stretched.frequencies(32)[0], want, rtol=1e-6)


def test_longrope_chooses_by_the_length_a_cache_may_reach() -> None:
    both = rope(
        type="longrope",
        short_factor=[1.0] * 4,
        long_factor=[2.0] * 4,
        original_max_position_embeddings=8,
    )
    short, long = both.frequencies(8)[0], both.frequencies(9)[0]
    np.testing.assert_allclose(short, 2 * long, rtol=1e-6)
    # √(1 + ln(16/8)/ln 8) = √(4/3)
    assert both.frequencies(8)[1] == pytest.approx((4 / 3) ** 0.5)
