"""A tokenizer for checkpoints that have none, for runtimes that do not start without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_tokenizer(directory: Path, vocab_size: int) -> None:
    """A byte-level BPE with as many tokens, random merges: what a real one takes to be read."""
    target = directory / "tokenizer.json"
    if target.exists():
        return
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    rng = np.random.default_rng(0)
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: index for index, piece in enumerate(pieces)}
    merges: list[tuple[str, str]] = []
    while len(vocab) < vocab_size:
        left, right = (pieces[i] for i in (rng.random(2) ** 2 * len(pieces)).astype(int))
        if left + right not in vocab and len(left + right) <= 12:
            vocab[left + right] = len(vocab)
            pieces.append(left + right)
            merges.append((left, right))
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.save(str(target))
