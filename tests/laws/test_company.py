"""A token's logits are the same bits whatever stands beside it: every comparison is equality."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import TinyModels, needs_core
from tiny import random_ids

from lapwing import Model, backends
from lapwing.engine import session
from lapwing.quant.recipe import DTYPES

pytestmark = needs_core  # NumPy's products may differ with the number of rows

Array = npt.NDArray[np.float32]

# (shape, the file's dtype, loaded as): every kernel, odd sizes, heads of 7, 12 and 80, both heads.
CASES = [
    *(("odd", "F32", dtype) for dtype in DTYPES),
    *(("prime", "F16", dtype) for dtype in ("f16", "f32", "int8")),
    *(("wide", "BF16", dtype) for dtype in ("bf16", "int4")),
    ("untied", "F32", "int8"),
    ("inverse_layer", "F32", "f32"),
]
every_case = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-as-{case[2]}"
)
LENGTH = 40


def load(tiny_models: TinyModels, case: tuple[str, str, str], **how: object) -> Model:
    shape, file_dtype, dtype = case
    return tiny_models.load(shape, dtype, file_dtype=file_dtype, **how)


def ids_for(model: Model, length: int = LENGTH, seed: int = 3) -> list[int]:
    return random_ids(seed, length, model.config.vocab_size)


@every_case
def test_prefill_equals_token_by_token(tiny_models: TinyModels, case: tuple[str, str, str]) -> None:
    model = load(tiny_models, case)
    ids = ids_for(model)
    whole = model.forward(ids)
    cache, rows = None, []
    for token in ids:
        logits, cache = model.forward_with_kv_cache([token], cache)
        rows.append(logits)
    np.testing.assert_array_equal(np.concatenate(rows), whole)
    assert cache is not None
    assert cache.tokens == ids


@pytest.mark.parametrize("dtype", ["f32", "f16", "int8", "int4"])
def test_any_cut_of_a_sequence(tiny_models: TinyModels, dtype: str) -> None:
    model = tiny_models.load("long", dtype)
    ids = ids_for(model, 300)
    whole = model.forward(ids)

    @settings(max_examples=8, deadline=None)
    @given(st.sets(st.integers(1, 299), max_size=6))
    def check(cuts: set[int]) -> None:
        borders = [0, *sorted(cuts), 300]
        cache = model.kv_cache()
        for begin, end in pairwise(borders):
            last_only = begin % 2 == 0
            got, _ = model.forward_with_kv_cache(ids[begin:end], cache, last_only=last_only)
            want = whole[end - 1 : end] if last_only else whole[begin:end]
            np.testing.assert_array_equal(got, want)

    check()


@every_case
def test_batch_equals_single(tiny_models: TinyModels, case: tuple[str, str, str]) -> None:
    model = load(tiny_models, case)
    batch = np.array([ids_for(model, seed=seed) for seed in range(5)])
    together = model.forward(batch)
    assert together.shape == (5, LENGTH, model.config.vocab_size)
    for row, ids in zip(together, batch, strict=True):
        np.testing.assert_array_equal(row, model.forward(ids))


@every_case
@pytest.mark.parametrize("side", ["left", "right", "holes"])
def test_padded_equals_packed(
    tiny_models: TinyModels, case: tuple[str, str, str], side: str
) -> None:
    model = load(tiny_models, case)
    lengths = [1, 7, 20, LENGTH, 13]
    mask = np.zeros((len(lengths), LENGTH), np.int64)
    for row, length in zip(mask, lengths, strict=True):
        if side == "left":
            row[LENGTH - length :] = 1
        elif side == "right":
            row[:length] = 1
        else:
            row[np.linspace(0, LENGTH - 1, length).astype(int)] = 1
    batch = np.array([ids_for(model, seed=seed) for seed in range(len(lengths))])
    logits = model(batch, attention_mask=mask).logits
    for row, ids, live in zip(logits, batch, mask == 1, strict=True):
        np.testing.assert_array_equal(row[live], model.forward(ids[live]))
        assert not row[~live].any()


@every_case
def test_threads_do_not_matter(tiny_models: TinyModels, case: tuple[str, str, str]) -> None:
    model = load(tiny_models, case)
    batch = np.array([ids_for(model, seed=seed) for seed in range(3)])
    want = model.forward(batch)
    for threads in (2, 3, 1):
        model.threads = threads
        assert model.threads == threads
        np.testing.assert_array_equal(model.forward(batch), want)
        np.testing.assert_array_equal(model.forward(batch[0, :1]), want[0, :1])


@every_case
def test_chunks_do_not_matter(
    tiny_models: TinyModels, case: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(tiny_models, case)
    batch = np.array([ids_for(model, seed=seed) for seed in range(3)])
    want = model.forward(batch)
    for tokens in (1, 3, 7, 39, 64):
        monkeypatch.setattr(session, "CHUNK_TOKENS", tokens)
        np.testing.assert_array_equal(model.forward(batch), want)


@every_case
def test_every_instruction_set_equals_the_generic_one(
    tiny_models: TinyModels, case: tuple[str, str, str]
) -> None:
    plain = load(tiny_models, case, isa="generic")
    assert plain.isa == "generic"
    ids = ids_for(plain)
    want = plain.forward(ids)
    for isa in backends.available_isas():
        model = load(tiny_models, case, isa=isa)
        assert model.isa == isa
        np.testing.assert_array_equal(model.forward(ids), want)
        np.testing.assert_array_equal(model.forward(ids[:1]), want[:1])


def test_one_model_in_two_threads(tiny_models: TinyModels) -> None:
    """The engine is shared: callers wait for each other, and see nothing of each other."""
    from concurrent.futures import ThreadPoolExecutor

    model = tiny_models.load("odd", "int8", threads=2)
    prompts = [ids_for(model, 10, seed) for seed in range(8)]
    want = [model.generate(ids, max_tokens=20, ignore_eos=True).tokens for ids in prompts]
    with ThreadPoolExecutor(4) as pool:
        got = pool.map(
            lambda ids: model.generate(ids, max_tokens=20, ignore_eos=True).tokens, prompts
        )
        assert list(got) == want
