"""Write tests/golden: what transformers answers on tiny random GPT-2s and on the bundled model.

    python tools/make_goldens.py

needs torch and transformers (the `oracle` extra).  The arrays go to `.npz` files; the `.json`
beside each says how it was made: versions, seeds, SHA-256 of every weight file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from oracle import Oracle, pad, versions  # noqa: E402
from tiny import SHAPES, random_ids, write_gpt2  # noqa: E402

COMMAND = "python tools/make_goldens.py"
LENGTHS = {"short": (1, 3, 8), "long": (1, 130, 257)}
DEFAULT_LENGTHS = (1, 9, 24)
TINY_STEPS = 40
PADDED = ("base", "odd")

PROMPTS = (
    "Once upon a time",
    "The old king had three sons, and",
    '"Who are you?" said the',
    "In the middle of the forest there stood a little house. One evening",
    "The princess wept — “alas!” she cried, “my golden ball”",
)
PROMPT_STEPS = 200
POSITIONS = 8  # logits kept per prompt, spread over prompt and continuation


def make_tiny() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Logits and greedy tokens of every named shape."""
    arrays: dict[str, np.ndarray] = {}
    variants: dict[str, Any] = {}
    for seed, (name, shape) in enumerate(SHAPES.items(), start=1):
        with tempfile.TemporaryDirectory() as folder:
            directory = write_gpt2(Path(folder), seed=seed, **shape)
            variants[name] = {"seed": seed, "sha256": weights_sha256(directory)}
            oracle = Oracle(directory)
        sequences = [
            random_ids(1000 * seed + i, length, oracle.vocab_size)
            for i, length in enumerate(LENGTHS.get(name, DEFAULT_LENGTHS))
        ]
        variants[name]["sequences"] = len(sequences)
        for i, ids in enumerate(sequences):
            greedy = oracle.greedy(ids, TINY_STEPS)
            arrays[f"{name}.{i}.ids"] = np.asarray(ids, np.int32)
            arrays[f"{name}.{i}.logits"] = oracle.logits(ids)
            arrays[f"{name}.{i}.tokens"] = np.asarray(greedy.tokens, np.int32)
            arrays[f"{name}.{i}.margins"] = greedy.margins
        if name in PADDED:
            for side in ("left", "right"):
                ids_2d, mask = pad(sequences, side)
                logits = oracle.padded_logits(ids_2d, mask)
                arrays[f"{name}.padded_{side}.logits"] = logits[mask == 1]  # real tokens, packed
    return arrays, variants


def make_tales(directory: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Greedy text of every prompt, and logits at a few positions of prompt and text."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(directory))
    oracle = Oracle(directory)
    arrays: dict[str, np.ndarray] = {}
    prompts: list[dict[str, Any]] = []
    for i, prompt in enumerate(PROMPTS):
        ids = tokenizer.encode(prompt)
        greedy = oracle.greedy(ids, PROMPT_STEPS)
        text = tokenizer.decode(
            greedy.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        prompts.append({"prompt": prompt, "text": text})
        arrays[f"{i}.prompt_ids"] = np.asarray(ids, np.int32)
        arrays[f"{i}.tokens"] = np.asarray(greedy.tokens, np.int32)
        arrays[f"{i}.margins"] = greedy.margins
        keep_positions(arrays, oracle, str(i), ids + greedy.tokens)
    full = random_ids(seed=0, length=oracle.n_positions, vocab_size=oracle.vocab_size)
    keep_positions(arrays, oracle, "full", full)  # the whole context, and no sense in it
    return arrays, {"sha256": weights_sha256(directory), "prompts": prompts}


def keep_positions(
    arrays: dict[str, np.ndarray], oracle: Oracle, name: str, ids: list[int]
) -> None:
    """Keep `ids` and their logits at POSITIONS places from the first to the last."""
    positions = np.linspace(0, len(ids) - 1, POSITIONS).round().astype(np.int32)
    arrays[f"{name}.ids"] = np.asarray(ids, np.int32)
    arrays[f"{name}.positions"] = positions
    arrays[f"{name}.logits"] = oracle.logits(ids)[positions]


def weights_sha256(directory: Path) -> dict[str, str]:
    """SHA-256 of every weight file: goldens speak of these bytes only."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.glob("*.safetensors"))
    }


def save(stem: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Write `stem`.npz and `stem`.json."""
    np.savez_compressed(stem.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
    facts = {"command": COMMAND, "versions": versions(), **facts}
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    stem.with_suffix(".json").write_text(text, encoding="utf-8")
    size = stem.with_suffix(".npz").stat().st_size
    print(f"{stem.name}: {len(arrays)} arrays, {size / 1e6:.2f} MB")


def main() -> None:
    """Parse the command line and write both pairs of files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "tests/golden", help="folder (default: tests/golden)"
    )
    parser.add_argument(
        "--tales",
        type=Path,
        default=ROOT / "src/lapwing/data/tales",
        help="directory of the bundled model (default: the one in src)",
    )
    options = parser.parse_args()
    tiny_arrays, variants = make_tiny()
    save(options.out / "gpt2_tiny", tiny_arrays, {"variants": variants})
    tales_arrays, facts = make_tales(options.tales)
    save(options.out / "tales", tales_arrays, facts)


if __name__ == "__main__":
    main()
