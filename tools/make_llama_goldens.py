"""Write tests/golden/llamas and stories: what transformers answers on Llamas and their friends.

    python tools/make_llama_goldens.py

needs torch and transformers (the `oracle` extra).  The arrays go to `.npz` files; the `.json`
beside each says how it was made: versions, seeds, SHA-256 of every weight file.  Before anything is
written, transformers must give the padded batch, on either side, what it gives the single
sequences; so the goldens of the sequences are those of the batches.  Stories260k is a Llama of
264 128 parameters that lies beside the repository.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from make_goldens import PROMPT_STEPS, ROOT, keep_positions, save, weights_sha256
from oracle import pad
from oracle_llamas import LlamaOracle
from tiny import random_ids
from tiny_llama_variants import LLAMAS
from tiny_llamas import write_llama

COMMAND = "python tools/make_llama_goldens.py"
DEFAULT_LENGTHS = (1, 9, 40)
LONGROPE_LENGTHS = (1, 9, 16, 17, 40)  # the variants turn otherwise beyond 16
LENGTHS = {"long": (1, 130, 257)}
BEYOND = 64  # tokens of one more sequence for dynamic variants, which were trained on 40
STEPS = 32
# Padding must change no more than the order of float32 sums: 2^-24 * sqrt(K) * sqrt(linears).
PADDING_DIFFERENCE = 5e-6

WINDOWS, WINDOW_LENGTH = 16, 256  # of text that stories260k writes by itself

PROMPTS = (
    "Once upon a time",
    "Lily and Tom went to the park. They saw a big",
    'One day, a little cat said, "',
    "Tim had a red ball. He liked to",
    "The naïve café — a 😀 said",
)
# Encoded and decoded: spaces, bytes, special tokens, what the vocabulary spells itself.
TEXTS = (
    *PROMPTS,
    "",
    " ",
    " a space before, two  in the middle, and one behind ",
    "tabs\tand\nnew lines\r\n\n",
    "Étude in Ä — ñandú… Ωmega, 12,345.678 % (of 90)",
    "中国語 日本, हि and שא 👩‍👩‍👧 e\u0301",
    "a lower one eighth block ▁ of its own, and \u00a0 a hard space",
    "<s>not</s> <unk> the <0x41> tokens",
    "supercalifragilisticexpialidocious",
)


def make_llamas() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Every named variant: sequences end to end, their logits, greedy tokens and margins."""
    arrays: dict[str, np.ndarray] = {}
    variants: dict[str, Any] = {}
    for seed, (name, variant) in enumerate(LLAMAS.items(), start=1):
        with tempfile.TemporaryDirectory() as folder:
            directory = write_llama(Path(folder), seed=seed, **variant)
            sha256 = weights_sha256(directory)
            oracle = LlamaOracle(directory)
        is_longrope = "original_max_position_embeddings" in variant
        lengths = LENGTHS.get(name, LONGROPE_LENGTHS if is_longrope else DEFAULT_LENGTHS)
        sequences = [
            random_ids(1000 * seed + i, length, oracle.vocab_size)
            for i, length in enumerate(lengths)
        ]
        logits = [oracle.logits(ids) for ids in sequences]
        greedy = [oracle.greedy(ids, STEPS) for ids in sequences]
        variants[name] = {
            "seed": seed,
            "sha256": sha256,
            "lengths": lengths,
            "steps": [len(one.tokens) for one in greedy],
            "padding_difference": padding_difference(oracle, sequences),
        }
        arrays[f"{name}.ids"] = np.concatenate(sequences).astype(np.int32)
        arrays[f"{name}.logits"] = np.concatenate(logits)
        arrays[f"{name}.tokens"] = np.concatenate([one.tokens for one in greedy]).astype(np.int32)
        arrays[f"{name}.margins"] = np.concatenate([one.margins for one in greedy])
        if name.startswith("dynamic"):
            ids = random_ids(1000 * seed + len(lengths), BEYOND, oracle.vocab_size)
            arrays[f"{name}.beyond.ids"] = np.asarray(ids, np.int32)
            arrays[f"{name}.beyond.logits"] = oracle.logits(ids)
    return arrays, variants


def padding_difference(oracle: LlamaOracle, sequences: Sequence[Sequence[int]]) -> float:
    """Largest difference between a padded batch and its sequences, over the largest logit."""
    worst = 0.0
    for group in oracle.alike(sequences):
        want = np.concatenate([oracle.logits(ids) for ids in group])
        for side in ("left", "right"):
            ids, mask = pad(group, side)
            got = oracle.padded_logits(ids, mask)[mask == 1]
            worst = max(worst, float(np.abs(got - want).max() / np.abs(want).max()))
    assert worst < PADDING_DIFFERENCE, worst
    return round(worst, 9)


def make_stories(directory: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Greedy text of every prompt, logits at a few positions, and what its tokenizer does."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(directory))
    oracle = LlamaOracle(directory)

    def decode(ids: Sequence[int], skip_special_tokens: bool) -> str:
        return tokenizer.decode(
            ids, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
        )

    arrays: dict[str, np.ndarray] = {}
    prompts: list[dict[str, Any]] = []
    for i, prompt in enumerate(PROMPTS):
        ids = tokenizer.encode(prompt)
        greedy = oracle.greedy(ids, PROMPT_STEPS)
        prompts.append({"prompt": prompt, "text": decode(greedy.tokens, True)})
        arrays[f"{i}.prompt_ids"] = np.asarray(ids, np.int32)
        arrays[f"{i}.tokens"] = np.asarray(greedy.tokens, np.int32)
        arrays[f"{i}.margins"] = greedy.margins
        keep_positions(arrays, oracle, str(i), ids + greedy.tokens)
    full = random_ids(seed=0, length=oracle.n_positions, vocab_size=oracle.vocab_size)
    keep_positions(arrays, oracle, "full", full)  # the whole context, and no sense in it
    texts = [
        {"text": text, "ids": ids, "plain": decode(ids, True), "special": decode(ids, False)}
        for text, ids in ((text, tokenizer.encode(text)) for text in TEXTS)
    ]
    arrays["sample.ids"] = oracle.sample(WINDOWS, WINDOW_LENGTH, seed=0).astype(np.int32)
    return arrays, {"sha256": weights_sha256(directory), "prompts": prompts, "texts": texts}


def main() -> None:
    """Parse the command line and write both pairs of files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "tests/golden", help="folder (default: tests/golden)"
    )
    parser.add_argument(
        "--stories",
        type=Path,
        default=ROOT.parent / "shared/models/stories260k",
        help="directory of stories260k (default: the one beside the repository)",
    )
    options = parser.parse_args()
    arrays, variants = make_llamas()
    save(options.out / "llamas", arrays, {"command": COMMAND, "variants": variants})
    story_arrays, facts = make_stories(options.stories)
    save(options.out / "stories", story_arrays, {"command": COMMAND, **facts})


if __name__ == "__main__":
    main()
