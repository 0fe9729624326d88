"""Every key of a config.json is known, harmless, or refused by name."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from lapwing import ConfigError
from lapwing.models.gpt2 import GPT2Config

# As transformers 4 and 5 write the small GPT-2.
COMMON: dict[str, Any] = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_embd": 768,
    "n_head": 12,
    "n_inner": None,
    "n_layer": 12,
    "n_positions": 1024,
    "reorder_and_upcast_attn": False,
    "resid_pdrop": 0.1,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "use_cache": True,
    "vocab_size": 50257,
}
GENERATIONS = {
    "4": {
        **COMMON,
        "_name_or_path": "gpt2",
        "n_ctx": 1024,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "torch_dtype": "float32",
        "transformers_version": "4.30.0",
    },
    "5": {
        **COMMON,
        "add_cross_attention": False,
        "dtype": "float32",
        "pad_token_id": None,
        "tie_word_embeddings": True,
        "transformers_version": "5.0.0",
    },
}


def read(**changes: Any) -> GPT2Config:
    return GPT2Config.from_dict({**COMMON, **changes}, "dir/config.json")


def refusal(**changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(**changes)
    message = str(caught.value)
    assert message.startswith("dir/config.json: ")
    return message.removeprefix("dir/config.json: ")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_both_generations(generation: str, caplog: pytest.LogCaptureFixture) -> None:
    config = GPT2Config.from_dict(GENERATIONS[generation], "config.json")
    assert config == GPT2Config(
        vocab_size=50257,
        n_positions=1024,
        n_embd=768,
        n_layer=12,
        n_head=12,
        n_inner=3072,
        activation_function="gelu_new",
        layer_norm_epsilon=1e-5,
        scale_attn_weights=True,
        scale_attn_by_inverse_layer_idx=False,
        tie_word_embeddings=True,
    )
    assert (config.head_dim, config.context_length) == (64, 1024)
    assert not caplog.records


def test_defaults_are_those_of_transformers() -> None:
    assert GPT2Config.from_dict({"model_type": "gpt2"}, "") == read()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope_theta", 10000.0),
        ("sliding_window", 128),
        ("hidden_size", 768),
        ("num_key_value_heads", 4),
        ("attn_logit_softcapping", 30.0),
        ("embedding_multiplier", 2.0),
        ("num_experts", 8),
        ("residual_multiplier", 0.2),
        ("some_new_norm", "rms"),
        ("alibi", True),
        ("quantization_config", {"bits": 4}),
        ("add_cross_attention", True),
        ("is_encoder_decoder", True),
        ("pruned_heads", {"0": [1]}),
    ],
)
def test_keys_that_change_the_mathematics_are_refused(key: str, value: object) -> None:
    message = refusal(**{key: value})
    assert f"'{key}'" in message
    assert repr(value) in message


def test_all_of_them_at_once() -> None:
    message = refusal(rope_theta=1e4, window_size=7, harmless_word="x")
    assert "'rope_theta' (10000.0), 'window_size' (7)" in message
    assert "harmless_word" not in message


def test_switched_off_is_harmless() -> None:
    assert read(sliding_window=None, alibi=False, quantization_config=None, rope_scaling={})


def test_unknown_words_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lapwing"):
        read(my_note="hello", dataset=["a"])
    (record,) = caplog.records
    assert record.getMessage() == "dir/config.json: unknown keys are ignored: dataset, my_note"


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("n_embd", "768", "expected a whole number, got '768'"),
        ("n_embd", 768.0, "expected a whole number, got 768.0"),
        ("n_layer", True, "expected a whole number, got True"),
        ("n_layer", [12], "expected a whole number, got [12]"),
        ("vocab_size", {}, "expected a whole number, got {}"),
        ("layer_norm_epsilon", "1e-5", "expected a number, got '1e-5'"),
        ("scale_attn_weights", 1, "expected true or false, got 1"),
        ("tie_word_embeddings", "yes", "expected true or false, got 'yes'"),
        ("activation_function", 3, "expected a string, got 3"),
        ("activation_function", "gelu_fast", "expected one of gelu_new, "),
        ("n_embd", 0, "expected at least 1, got 0"),
        ("n_head", -12, "expected at least 1, got -12"),
        ("n_positions", 0, "expected at least 1, got 0"),
        ("vocab_size", -1, "expected at least 1, got -1"),
        ("n_inner", 0, "expected at least 1, got 0"),
        ("n_layer", 10**9, "expected at most 4096, got 1000000000"),
        ("n_layer", 10**400, "expected at most 4096, got 1000"),
        ("layer_norm_epsilon", -1e-5, "expected at least 0, got -1e-05"),
        ("layer_norm_epsilon", float("nan"), "expected a finite number, got nan"),
        ("layer_norm_epsilon", float("inf"), "expected a finite number, got inf"),
        ("n_head", 7, "expected a divisor of n_embd = 768, got 7"),
        ("n_head", 1, "heads of 768 exceed 512"),
    ],
)
def test_wrong_values_are_named(key: str, value: object, what: str) -> None:
    assert refusal(**{key: value}).startswith(f"'{key}': {what}")


def test_a_whole_number_may_stand_for_a_number() -> None:
    assert read(layer_norm_epsilon=0).layer_norm_epsilon == 0.0
