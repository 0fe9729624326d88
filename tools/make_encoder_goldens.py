"""Write tests/golden/encoders: what transformers answers on tiny random encoders of every family.

    python tools/make_encoder_goldens.py

needs torch and transformers (the `oracle` extra).  The arrays go to the `.npz` file; the `.json`
beside it says how it was made: versions, seeds, SHA-256 of every weight file.  Before anything is
written, transformers must give the padded batch, on either side, what it gives the single
sequences; so the goldens of the sequences are those of the batches.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from make_goldens import ROOT, save, weights_sha256
from oracle import pad
from oracle_encoders import (
    Answer,
    EncoderOracle,
    Text,
    classify,
    fill_mask,
    sentence_embeddings,
)
from tiny import random_ids
from tiny_encoders import ENCODERS, LONGEST, write_encoder
from tiny_sentences import (
    CLASSIFYING_MODELS,
    FILLING_MODELS,
    SENTENCE_MODELS,
    write_sentence_model,
    write_task_model,
)

COMMAND = "python tools/make_encoder_goldens.py"
LENGTHS = {"long": (1, 130, 257), "long_roberta": (2, 257)}
DEFAULT_LENGTHS = (1, 2, 9, LONGEST)
# Padding must change no more than the order of float32 sums: 2^-24 * sqrt(K) * sqrt(linears).
PADDING_DIFFERENCE = 5e-6

SENTENCES = (
    "The old king went into the forest.",
    "Three golden balls, and the water-wolf!",
    "a",
    "",
    "Étude in Ä — naïve ñandú… Ωmega, 12,345.678 % (of 90)",
    "中国語 日本, हि and שא: unhappiness — unlisted 😀 \t tabs\nand\u00a0spaces",
    "THE QUEEN WAS HELD OVER THE WATER",
    "the the the the the the the the the the the the the the the the the the the the",
    "antidisestablishmentarianism",
)
FILLINGS = ("The old king [MASK] the forest.", "[MASK] water, [MASK] ball")
TOP_K = 6
CLASSIFIED: tuple[Text, ...] = (
    "The queen was in the forest.",
    "wolf!",
    ("The wolf was old.", "Was the wolf old or un-old?"),
    ("king", "wolf"),
)


def make_encoders() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Every named variant: sequences end to end, and what it says of them; the odd have types."""
    arrays: dict[str, np.ndarray] = {}
    variants: dict[str, Any] = {}
    for seed, (name, variant) in enumerate(ENCODERS.items(), start=1):
        with tempfile.TemporaryDirectory() as folder:
            directory = write_encoder(Path(folder), seed=seed, **variant)
            sha256 = weights_sha256(directory)
            oracle = EncoderOracle(directory)
        lengths = LENGTHS.get(name, DEFAULT_LENGTHS)
        sequences, types = [], []
        for i, length in enumerate(lengths):
            sequences.append(random_ids(1000 * seed + i, length, oracle.vocab_size))
            n_types = oracle.n_types if i % 2 else 1
            types.append(random_ids(1000 * seed + 500 + i, length, max(1, n_types)))
        answer = joined(oracle, sequences, types)
        variants[name] = {
            "seed": seed,
            "sha256": sha256,
            "lengths": lengths,
            "padding_difference": padding_difference(oracle, sequences, types, answer),
        }
        packed = {"ids": np.concatenate(sequences), "types": np.concatenate(types)}
        arrays |= {f"{name}.{part}": values.astype(np.int32) for part, values in packed.items()}
        given = {part: values for part, values in vars(answer).items() if values is not None}
        arrays |= {f"{name}.{part}": values for part, values in given.items()}
    return arrays, variants


def joined(
    oracle: EncoderOracle, sequences: Sequence[Sequence[int]], types: Sequence[Sequence[int]]
) -> Answer:
    """Of single sequences: hidden [T, D], pooled [B, D], logits [T, V] or [B, labels]."""
    answers = [
        oracle.single(ids, of_type if any(of_type) else None)
        for ids, of_type in zip(sequences, types, strict=True)
    ]

    def of_all(part: str) -> Any:
        parts = [getattr(answer, part) for answer in answers]
        return None if parts[0] is None else np.concatenate([np.atleast_2d(one) for one in parts])

    return Answer(of_all("hidden"), of_all("pooled"), of_all("logits"))


def padding_difference(
    oracle: EncoderOracle,
    sequences: Sequence[Sequence[int]],
    types: Sequence[Sequence[int]],
    want: Answer,
) -> float:
    """Largest difference between a padded batch and its sequences, over the largest value."""
    worst = 0.0
    for side in ("left", "right"):
        ids, mask = pad(sequences, side, oracle.config.pad_token_id)
        batch = oracle.batch(ids, mask, pad(types, side)[0] if oracle.n_types > 1 else None)
        for part, values in vars(batch).items():
            if values is None or (values.ndim == 2 and side == "left"):
                continue  # pooler and classifier read the first column, here padding
            got = values[mask == 1] if values.ndim == 3 else values
            difference = np.abs(got - getattr(want, part)).max()
            worst = max(worst, float(difference / np.abs(getattr(want, part)).max()))
    assert worst < PADDING_DIFFERENCE, worst
    return round(worst, 9)


def make_sentences() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Vectors of SENTENCES, of unit length and as they come from the modules before that."""
    arrays: dict[str, np.ndarray] = {}
    variants: dict[str, Any] = {}
    for seed, (name, variant) in enumerate(SENTENCE_MODELS.items(), start=201):
        with tempfile.TemporaryDirectory() as folder:
            directory = write_sentence_model(Path(folder), seed=seed, **variant)
            oracle = EncoderOracle(directory)
            for part, normalize in (("unit", True), ("plain", False)):
                arrays[f"sentence.{name}.{part}"] = sentence_embeddings(
                    directory, oracle, SENTENCES, normalize
                )
            variants[name] = {"seed": seed, "sha256": weights_sha256(directory)}
    return arrays, {"texts": SENTENCES, "variants": variants}


def make_tasks() -> dict[str, Any]:
    """What transformers' pipelines fill in, and how they classify."""
    filled: dict[str, Any] = {}
    classified: dict[str, Any] = {}
    for seed, (name, variant) in enumerate(FILLING_MODELS.items(), start=301):
        mask = "<mask>" if variant["family"] == "roberta" else "[MASK]"
        with tempfile.TemporaryDirectory() as folder:
            directory = write_task_model(Path(folder), seed=seed, **variant)
            answers = [
                {"text": text, "masks": fill_mask(directory, text, TOP_K)}
                for text in (text.replace("[MASK]", mask) for text in FILLINGS)
            ]
        filled[name] = {"seed": seed, "answers": answers}
    for seed, (name, variant) in enumerate(CLASSIFYING_MODELS.items(), start=401):
        with tempfile.TemporaryDirectory() as folder:
            directory = write_task_model(Path(folder), seed=seed, **variant)
            answers = [{"text": text, "labels": classify(directory, text)} for text in CLASSIFIED]
        classified[name] = {"seed": seed, "answers": answers}
    return {"filled": filled, "classified": classified, "top_k": TOP_K}


def main() -> None:
    """Parse the command line and write the pair of files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "tests/golden", help="folder (default: tests/golden)"
    )
    options = parser.parse_args()
    arrays, variants = make_encoders()
    sentence_arrays, sentences = make_sentences()
    facts = {"command": COMMAND, "variants": variants, "sentences": sentences, **make_tasks()}
    save(options.out / "encoders", arrays | sentence_arrays, facts)


if __name__ == "__main__":
    main()
