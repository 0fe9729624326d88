"""Token ids of workloads: the same for everyone, made from a seed or from a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.measure.rows import Skip
from benchmarks.models import SHARED, Model

# GPT-2's ids of "Once upon a time"; other vocabularies get random ones.
ONCE_UPON_A_TIME = (7454, 2402, 257, 640)


def random_ids(model: Model, count: int, seed: int = 0) -> tuple[int, ...]:
    """Anywhere in the vocabulary but at its first ids, which are special in many."""
    low = min(1000, model.vocab_size // 4)
    drawn = np.random.default_rng(seed).integers(low, model.vocab_size, count)
    return tuple(int(token) for token in drawn)


def steps(model: Model, count: int, sequences: int, seed: int = 1) -> tuple[tuple[int, ...], ...]:
    """`count` times one token a sequence."""
    ids = random_ids(model, count * sequences, seed)
    return tuple(ids[i : i + sequences] for i in range(0, len(ids), sequences))


def windows(model: Model, count: int, length: int) -> list[list[int]] | Skip:
    """Stretches of held-out text in the model's own tokens."""
    path = SHARED / "text" / "tales.valid.txt"
    if not path.exists():
        return Skip("text", "tales.valid.txt is not at hand", model=model.name)
    from lapwing.text.tokenizer import Tokenizer

    text = path.read_text(encoding="utf-8")[: 40 * count * length]
    ids: Sequence[int] = Tokenizer.open(model.target.directory).encode(text)
    begins = np.linspace(0, len(ids) - length, count).astype(int)
    return [list(ids[begin : begin + length]) for begin in begins]
