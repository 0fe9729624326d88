"""Text from a GPT-2, token by token: the first pass fills the KV cache, each later one reads it.

    python examples/gpt2_generate.py [MODEL] [--dtype int4] [--seed 7]

`model.generate` does all of this in one call; here the loop is in the open.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import lapwing

PROMPT = "Once upon a time"
NEW_TOKENS = 50
TEMPERATURE = 0.7


def generate(model: lapwing.Model, prompt: str, seed: int | None) -> list[int]:
    """The new tokens: at most NEW_TOKENS, the last one an end of text if it came to that."""
    rng = np.random.default_rng(seed)
    ids = model.tokenizer.encode(prompt)
    cache = model.kv_cache(len(ids) + NEW_TOKENS)
    logits, cache = model.forward_with_kv_cache(ids, cache, last_only=True)  # prefill: [1, V]
    made: list[int] = []
    while True:
        token = lapwing.sample_token(logits[-1], TEMPERATURE, rng)
        made.append(token)
        if token in model.eos_token_ids or len(made) == NEW_TOKENS:
            return made
        logits, cache = model.forward_with_kv_cache([token], cache)  # decode: one token a pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="tales", help="directory, hub id, or tales")
    parser.add_argument("--dtype", default="auto", help="f32, f16, bf16, int8 (auto) or int4")
    parser.add_argument("--seed", type=int, help="the same seed draws the same text")
    arguments = parser.parse_args()

    with lapwing.load(arguments.model, dtype=arguments.dtype) as model:
        how = f"{model.backend} {model.isa}, {model.threads} threads, {model.dtype}"
        print(f"Using device: {model.device} ({how})")
        began_s = time.perf_counter()
        made = generate(model, PROMPT, arguments.seed)
        took_s = time.perf_counter() - began_s
        print(f"Generated text: {PROMPT}{model.tokenizer.decode(made)}")
        print(f"Generation time: {took_s:.3f} s ({len(made)} tokens)")
        print(f"Tokens per second: {len(made) / took_s:.1f}")


if __name__ == "__main__":
    main()
