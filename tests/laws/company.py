"""Laws of a causal model's company, for any model: every comparison is equality."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import numpy.typing as npt
import pytest
from tiny import random_ids

from lapwing import Model
from lapwing.engine import passes

Array = npt.NDArray[np.int64]
SIDES = ("left", "right", "holes")


def ids_for(model: Model, length: int, seed: int = 3) -> list[int]:
    return random_ids(seed, length, model.config.vocab_size)


def rows_for(model: Model, count: int, length: int) -> Array:
    """Ids [count, length]."""
    return np.array([ids_for(model, length, seed) for seed in range(count)])


def mask_for(lengths: list[int], length: int, side: str) -> Array:
    """[B, length] with that many ones a row: at an end, or spread."""
    mask = np.zeros((len(lengths), length), np.int64)
    for row, ones in zip(mask, lengths, strict=True):
        if side == "left":
            row[length - ones :] = 1
        elif side == "right":
            row[:ones] = 1
        else:
            row[np.linspace(0, length - 1, ones).astype(int)] = 1
    return mask


def check_token_by_token(model: Model, ids: list[int]) -> None:
    """A prefill gives what its tokens give one by one."""
    whole = model.forward(ids)
    cache, rows = model.kv_cache(len(ids)), []
    for token in ids:
        logits, cache = model.forward_with_kv_cache([token], cache)
        rows.append(logits)
    np.testing.assert_array_equal(np.concatenate(rows), whole)
    assert cache.tokens == ids


def check_cuts(model: Model, ids: list[int], cuts: set[int]) -> None:
    """However a sequence is cut, with all logits or the last ones."""
    whole = model.forward(ids)
    cache = model.kv_cache(len(ids))
    for begin, end in pairwise([0, *sorted(cuts), len(ids)]):
        last_only = begin % 2 == 0
        got, _ = model.forward_with_kv_cache(ids[begin:end], cache, last_only=last_only)
        want = whole[end - 1 : end] if last_only else whole[begin:end]
        np.testing.assert_array_equal(got, want)


def check_batch(model: Model, batch: Array) -> None:
    """A row of a batch is what it is by itself."""
    together = model.forward(batch)
    assert together.shape == (*batch.shape, model.config.vocab_size)
    for row, ids in zip(together, batch, strict=True):
        np.testing.assert_array_equal(row, model.forward(ids))


def check_padded(model: Model, batch: Array, mask: Array) -> None:
    """Where the mask is 0 nothing stands, and zeros come back."""
    logits = model(batch, attention_mask=mask).logits
    for row, ids, live in zip(logits, batch, mask == 1, strict=True):
        np.testing.assert_array_equal(row[live], model.forward(ids[live]))
        assert not row[~live].any()


def check_threads(model: Model, batch: Array) -> None:
    want, first = model.forward(batch), model.forward(batch[0, :1])
    for threads in (2, 3, 1):
        model.threads = threads
        assert model.threads == threads
        np.testing.assert_array_equal(model.forward(batch), want)
        np.testing.assert_array_equal(model.forward(batch[0, :1]), first)
    for few, many in permutations((1, 2, 3), 2):
        set_threads(model, few, many)
        np.testing.assert_array_equal(model.forward(batch), want)
        np.testing.assert_array_equal(model.forward(batch[0, :1]), first)
    model.threads = 1


def set_threads(model: Model, few: int, many: int) -> None:
    """Of passes of a few tokens, and of more, apart."""
    model.threads = few
    model._backend.prefill_threads = many
    assert (model.threads, model.prefill_threads) == (few, many)


def check_chunks(model: Model, batch: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of any length, so of rows cut anywhere."""
    want = model.forward(batch)
    for tokens in (1, 3, 7, 39, 64):
        monkeypatch.setattr(passes, "CHUNK_TOKENS", tokens)
        np.testing.assert_array_equal(model.forward(batch), want)


def check_same(model: Model, other: Model, ids: list[int]) -> None:
    """Two models of one checkpoint, however they compute."""
    np.testing.assert_array_equal(model.forward(ids), other.forward(ids))
    np.testing.assert_array_equal(model.forward(ids[:1]), other.forward(ids[:1]))
