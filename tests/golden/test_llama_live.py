"""The comparisons of the Llama goldens, asked anew of the installed transformers.

Shapes and weights are new in every run; a failure names the seed, and LAPWING_TEST_SEED repeats it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import assert_greedy, assert_logits
from oracle import pad
from oracle_llamas import LlamaOracle
from tiny import random_ids
from tiny_llamas import ARCHITECTURES, GEMMAS, write_llama
from tolerances import FLOAT_LOGITS

pytest.importorskip("torch", reason="the live comparison needs torch (extra `oracle`)")
pytest.importorskip("transformers", reason="the live comparison needs transformers")

ROUNDS = 3
STEPS = 40
ACTIVATIONS = ("silu", "gelu", "gelu_pytorch_tanh", "relu")
EXPLICIT_HEAD_DIM = ("llama", "mistral", "qwen3", *GEMMAS)


def random_shape(model_type: str, seed: int) -> dict[str, Any]:
    """Arguments of write_llama; sizes follow no multiple of anything."""
    rng = np.random.default_rng(seed)
    kv_heads = int(rng.integers(1, 4))
    heads = kv_heads * int(rng.integers(1, 4))
    head_dim = 2 * int(rng.integers(2, 13))
    explicit = model_type in EXPLICIT_HEAD_DIM
    activation = "hidden_activation" if model_type in GEMMAS else "hidden_act"
    generations = ["rope_parameters", "rope_type", "type"]
    if model_type == "gemma3_text":
        generations.remove("type")  # older than Gemma 3: transformers reads it as no scaling
    shape = {
        "model_type": model_type,
        "hidden_size": heads * (int(rng.integers(5, 25)) if explicit else head_dim),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "num_hidden_layers": int(rng.integers(1, 5)),
        "intermediate_size": int(rng.integers(8, 150)),
        "vocab_size": int(rng.integers(20, 150)),
        "max_position_embeddings": int(rng.integers(30, 120)),
        "rms_norm_eps": float(rng.choice([1e-6, 1e-5, 1e-2])),
        "tie_word_embeddings": bool(rng.random() < 0.5),
        "generation": str(rng.choice(generations)),
        "dtype": str(rng.choice(["F32", "F16", "BF16"])),
        "shards": int(rng.integers(1, 4)),
        activation: str(rng.choice(ACTIVATIONS)),
        **({"head_dim": head_dim} if explicit else {}),
    }
    return shape | _random_keys(model_type, shape, head_dim, rng)


def _random_keys(
    model_type: str, shape: dict[str, Any], head_dim: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Keys that only some families have."""
    n_layers = shape["num_hidden_layers"]
    window = int(rng.integers(2, 20)) if rng.random() < 0.7 else None
    types = [str(rng.choice(["full_attention", "sliding_attention"])) for _ in range(n_layers)]
    bias = {"attention_bias": bool(rng.random() < 0.5)}
    if model_type == "llama":
        return {**bias, "mlp_bias": bool(rng.random() < 0.5), "rope": _random_rope(shape, rng)}
    if model_type == "mistral":
        return {"sliding_window": window, "rope": _random_rope(shape, rng)}
    if model_type in ("qwen2", "qwen3"):
        windows = {
            "sliding_window": window,
            "use_sliding_window": window is not None,
            "max_window_layers": int(rng.integers(0, n_layers + 1)),
        }
        return {
            **windows,
            **(bias if model_type == "qwen3" else {}),
            **({"layer_types": types} if window and rng.random() < 0.5 else {}),
            "rope": _random_rope(shape, rng),
        }
    if model_type == "smollm3":
        return {
            **bias,
            "mlp_bias": bool(rng.random() < 0.5),
            "no_rope_layer_interval": int(rng.integers(2, 5)),
            "sliding_window": window,
            "use_sliding_window": window is not None,
            "rope": _random_rope(shape, rng),
        }
    if model_type == "phi3":
        longest = shape["max_position_embeddings"]
        return {
            "sliding_window": window,
            "original_max_position_embeddings": longest // int(rng.integers(1, 4)),
            "rope": _random_longrope(head_dim, rng),
        }
    gemma = {
        **bias,
        "query_pre_attn_scalar": int(rng.integers(2, 30)),
        "sliding_window": window or 8,
        "final_logit_softcapping": None if rng.random() < 0.3 else float(rng.uniform(1, 40)),
        **({"layer_types": types} if rng.random() < 0.5 else {}),
    }
    if model_type == "gemma2":
        cap = None if rng.random() < 0.3 else float(rng.uniform(1, 60))
        return {**gemma, "attn_logit_softcapping": cap, "rope": {"rope_theta": _theta(rng)}}
    linear = {"rope_type": "linear", "factor": float(rng.uniform(1, 9))}
    full = {"rope_theta": _theta(rng), **(linear if rng.random() < 0.5 else {})}
    rope = {"full_attention": full, "sliding_attention": {"rope_theta": _theta(rng)}}
    return {**gemma, "sliding_window_pattern": int(rng.integers(2, 5)), "rope": rope}


def _theta(rng: np.random.Generator) -> float:
    return float(10 ** rng.uniform(2, 6))


def _random_rope(shape: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    theta = {"rope_theta": _theta(rng)}
    trained = {"original_max_position_embeddings": int(rng.integers(10, 100))}
    factor = {"factor": float(rng.uniform(1, 9))}
    kind = str(rng.choice(["default", "linear", "dynamic", "llama3", "yarn"]))
    if kind == "default":
        return theta
    if kind in ("linear", "dynamic"):
        return {"rope_type": kind, **factor, **theta}
    if kind == "llama3":
        low = float(rng.uniform(0.5, 2))
        factors = {"low_freq_factor": low, "high_freq_factor": low + float(rng.uniform(0.5, 4))}
        return {"rope_type": kind, **factor, **factors, **trained, **theta}
    more: dict[str, Any] = {}
    if rng.random() < 0.5:
        more |= {"beta_fast": float(rng.uniform(1, 40)), "beta_slow": float(rng.uniform(0.1, 1))}
    if rng.random() < 0.3:
        more |= {"attention_factor": float(rng.uniform(0.8, 1.5))}
    if rng.random() < 0.3:
        more |= {"mscale": float(rng.uniform(0.5, 2)), "mscale_all_dim": float(rng.uniform(0.5, 2))}
    if rng.random() < 0.3:
        more |= {"truncate": False}
    return {"rope_type": kind, **factor, **more, **trained, **theta}


def _random_longrope(head_dim: int, rng: np.random.Generator) -> dict[str, Any]:
    """Half of the times; a part of each head may not turn at all."""
    pairs = int(rng.integers(1, head_dim // 2 + 1))
    rope = {"rope_theta": _theta(rng), "partial_rotary_factor": 2 * pairs / head_dim}
    if int(head_dim * rope["partial_rotary_factor"]) != 2 * pairs:
        rope["partial_rotary_factor"], pairs = 1.0, head_dim // 2
    if rng.random() < 0.5:
        return rope
    factors = {
        "short_factor": rng.uniform(1, 2, pairs).tolist(),
        "long_factor": rng.uniform(1, 9, pairs).tolist(),
    }
    return {"rope_type": "longrope", **factors, **rope}


@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_random_llama(model_type: str, turn: int, tmp_path: Path, backend: str) -> None:
    """Logits, padded logits and greedy tokens, float32 arithmetic on weights of any dtype."""
    import lapwing

    seed = int(os.environ.get("LAPWING_TEST_SEED", 0)) or secrets.randbelow(2**31)
    shape = random_shape(model_type, seed)
    what = f"LAPWING_TEST_SEED={seed} {shape}"
    directory = write_llama(tmp_path / "model", seed=seed, **shape)
    oracle = LlamaOracle(directory)
    longest = shape["max_position_embeddings"]
    sequences = [
        random_ids(seed + i, length, shape["vocab_size"])
        for i, length in enumerate((1, longest // 3, longest))
    ]
    bound = FLOAT_LOGITS["f32"]
    with lapwing.load(str(directory), dtype="f32") as model:
        for ids in sequences:
            assert_logits(model.forward(ids), oracle.logits(ids), bound, what)

        for group in oracle.alike(sequences):
            for side in ("right", "left"):
                padded, mask = pad(group, side)
                got = model(padded, attention_mask=mask).logits[mask == 1]
                want_logits = oracle.padded_logits(padded, mask)[mask == 1]
                assert_logits(got, want_logits, bound, f"{what} padded {side}")

        want = oracle.greedy(sequences[1], max_tokens=STEPS)
        new, tokens = sequences[1], list[int]()
        cache = model.kv_cache(len(new) + len(want.tokens))  # its size may decide how to turn
        for _ in want.tokens:
            logits, cache = model.forward_with_kv_cache(new, cache, last_only=True)
            tokens.append(int(logits[-1].argmax()))
            new = tokens[-1:]
        assert_greedy(tokens, want.tokens, want.margins, bound, what)
