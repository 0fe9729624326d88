"""A token's logits are the same bits whatever stands beside it: every comparison is equality."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.company import (
    SIDES,
    check_batch,
    check_chunks,
    check_cuts,
    check_padded,
    check_same,
    check_threads,
    check_token_by_token,
    ids_for,
    mask_for,
    rows_for,
)
from loading import TinyModels, needs_core

from lapwing import Model, backends
from lapwing.errors import RequestError
from lapwing.quant.recipe import DTYPES

pytestmark = needs_core  # NumPy's products may differ with the number of rows

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


@every_case
def test_prefill_equals_token_by_token(tiny_models: TinyModels, case: tuple[str, str, str]) -> None:
    model = load(tiny_models, case)
    check_token_by_token(model, ids_for(model, LENGTH))


@pytest.mark.parametrize("dtype", ["f32", "f16", "int8", "int4"])
def test_any_cut_of_a_sequence(tiny_models: TinyModels, dtype: str) -> None:
    model = tiny_models.load("long", dtype)
    ids = ids_for(model, 300)

    @settings(max_examples=8, deadline=None)
    @given(st.sets(st.integers(1, 299), max_size=6))
    def check(cuts: set[int]) -> None:
        check_cuts(model, ids, cuts)

    check()


@every_case
def test_batch_equals_single(tiny_models: TinyModels, case: tuple[str, str, str]) -> None:
    model = load(tiny_models, case)
    check_batch(model, rows_for(model, 5, LENGTH))


@every_case
@pytest.mark.parametrize("side", SIDES)
def test_padded_equals_packed(
    tiny_models: TinyModels, case: tuple[str, str, str], side: str
) -> None:
    model = load(tiny_models, case)
    mask = mask_for([1, 7, 20, LENGTH, 13], LENGTH, side)
    check_padded(model, rows_for(model, len(mask), LENGTH), mask)


@every_case
def test_threads_do_not_matter(tiny_models: TinyModels, case: tuple[str, str, str]) -> None:
    model = load(tiny_models, case)
    check_threads(model, rows_for(model, 3, LENGTH))


@every_case
def test_chunks_do_not_matter(
    tiny_models: TinyModels, case: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(tiny_models, case)
    check_chunks(model, rows_for(model, 3, LENGTH), monkeypatch)


@every_case
def test_every_instruction_set_equals_the_generic_one(
    tiny_models: TinyModels, case: tuple[str, str, str]
) -> None:
    plain = load(tiny_models, case, isa="generic")
    assert plain.isa == "generic"
    for isa in backends.available_isas():
        model = load(tiny_models, case, isa=isa)
        assert model.isa == isa
        check_same(model, plain, ids_for(plain, LENGTH))


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


@pytest.mark.parametrize("dtype", ["f32", "int8", "int4"])
def test_several_caches_in_one_pass_equal_each_alone(tiny_models: TinyModels, dtype: str) -> None:
    model = tiny_models.load("odd", dtype)
    sequences = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 1, 2]]
    caches = [model.kv_cache(20) for _ in sequences]
    together = model.forward_with_kv_caches(sequences, caches)
    for ids, logits in zip(sequences, together, strict=True):
        alone, _ = model.forward_with_kv_cache(ids, model.kv_cache(20))
        np.testing.assert_array_equal(logits, alone)
    (last, *_) = model.forward_with_kv_caches([[1], [2], [3]], caches, last_only=True)
    assert last.shape == (1, model.config.vocab_size)
    assert [cache.length for cache in caches] == [4, 2, 8]


def test_caches_that_do_not_belong_to_their_sequences(tiny_models: TinyModels) -> None:
    model = tiny_models.load("odd", "int8")
    cache = model.kv_cache(4)
    for sequences, caches, text in (
        ([[1], [2]], [cache], "expected one for each sequence, and one at least; got 1 for 2"),
        ([], [], "got 0 for 0"),
        ([[1], [2]], [cache, cache], "one is given twice"),
        ([[[1]]], [cache], r"sequences\[0\]: expected \[L\] with L ≥ 1, got shape \[1, 1\]"),
        ([[]], [cache], "expected .L. with L"),
        ([[1, 2, 3, 4, 5]], [cache], "exceed the cache's 4 positions"),
    ):
        with pytest.raises(RequestError, match=text):
            model.forward_with_kv_caches(sequences, caches)
    assert cache.length == 0
