"""The comparisons of the golden files, asked anew of the installed transformers.

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
from oracle import Oracle, pad
from tiny import random_ids, write_gpt2
from tolerances import FLOAT_LOGITS

pytest.importorskip("torch", reason="the live comparison needs torch (extra `oracle`)")
pytest.importorskip("transformers", reason="the live comparison needs transformers")

ROUNDS = 6
PROMPTS = ("There was once a", "“What shall we do?” asked the wolf", "Far, far away in the sea")
ACTIVATIONS = ("gelu_new", "gelu", "relu", "silu", "tanh")


def random_shape(seed: int) -> dict[str, Any]:
    """Arguments of write_gpt2; sizes follow no multiple of anything."""
    rng = np.random.default_rng(seed)
    n_head = int(rng.integers(1, 7))
    return {
        "n_head": n_head,
        "n_embd": n_head * int(rng.integers(8, 25)),
        "n_layer": int(rng.integers(1, 4)),
        "vocab_size": int(rng.integers(20, 200)),
        "n_positions": int(rng.integers(30, 150)),
        "n_inner": None if rng.random() < 0.5 else int(rng.integers(8, 200)),
        "activation_function": str(rng.choice(ACTIVATIONS)),
        "tie": bool(rng.random() < 0.7),
        "scale_attn_by_inverse_layer_idx": bool(rng.random() < 0.3),
        "dtype": str(rng.choice(["F32", "F16", "BF16"])),
        "prefix": str(rng.choice(["transformer.", ""])),
        "shards": int(rng.integers(1, 4)),
    }


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_random_gpt2(turn: int, tmp_path: Path, backend: str) -> None:
    """Logits, padded logits and greedy tokens, float32 arithmetic on weights of any dtype."""
    import lapwing

    seed = int(os.environ.get("LAPWING_TEST_SEED", 0)) or secrets.randbelow(2**31)
    shape = random_shape(seed)
    what = f"LAPWING_TEST_SEED={seed} {shape}"
    directory = write_gpt2(tmp_path / "model", seed=seed, **shape)
    oracle = Oracle(directory)
    lengths = (1, shape["n_positions"] // 3, shape["n_positions"])
    sequences = [random_ids(seed + i, n, shape["vocab_size"]) for i, n in enumerate(lengths)]
    bound = FLOAT_LOGITS["f32"]
    with lapwing.load(str(directory), dtype="f32") as model:
        for ids in sequences:
            assert_logits(model.forward(ids), oracle.logits(ids), bound, what)

        padded, mask = pad(sequences, "right")
        logits = np.asarray(model(padded, attention_mask=mask).logits)
        assert_logits(logits[mask == 1], oracle.padded_logits(padded, mask)[mask == 1], bound, what)

        ids = sequences[1]
        want = oracle.greedy(ids, max_tokens=40)
        tokens: list[int] = []
        new, cache = ids, None
        for _ in want.tokens:
            logits, cache = model.forward_with_kv_cache(new, cache, last_only=True)
            tokens.append(int(np.asarray(logits).reshape(-1, shape["vocab_size"])[-1].argmax()))
            new = tokens[-1:]
        assert_greedy(tokens, want.tokens, want.margins, bound, what)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_tales_writes_the_same_200_tokens(prompt: str, tales_directory: Path, backend: str) -> None:
    import lapwing

    with lapwing.load(str(tales_directory), dtype="f32") as model:
        ids = list(model.tokenizer.encode(prompt))
        result = model.generate(prompt, max_tokens=200, ignore_eos=True)
    want = Oracle(tales_directory).greedy(ids, max_tokens=200)
    bound = FLOAT_LOGITS["f32"]
    assert_greedy(list(result.tokens), want.tokens, want.margins, bound, prompt)


def test_hidden_states_of_a_model_run_in_part(tales_directory: Path, backend: str) -> None:
    import lapwing

    ids = random_ids(5, 40, 2048)
    wanted = Oracle(tales_directory).hidden_states(ids)
    with lapwing.load(str(tales_directory), dtype="f32", load="lazy") as model:
        for k, want in enumerate(wanted):
            got = model.forward(ids, layers=range(k))
            assert_logits(got, want, FLOAT_LOGITS["f32"], f"{k} layers")
