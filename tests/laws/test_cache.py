"""The KV cache is a timeline: cut, copied or reused, it is as if the tokens had just been given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import TinyModels, needs_core
from tiny import random_ids

from lapwing import Model, RequestError
from lapwing.engine.session import Session
from lapwing.quant.recipe import DTYPES

pytestmark = needs_core  # NumPy's products may differ with the number of rows

some_ids = st.lists(st.integers(0, 96), min_size=1, max_size=12)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def load(tiny_models: TinyModels, dtype: str) -> Model:
    return tiny_models.load("odd", dtype)


@every_dtype
def test_truncate_and_append_equals_never_appended(tiny_models: TinyModels, dtype: str) -> None:
    model = load(tiny_models, dtype)

    @settings(max_examples=10, deadline=None)
    @given(some_ids, some_ids, some_ids)
    def check(kept: list[int], dropped: list[int], appended: list[int]) -> None:
        _, cache = model.forward_with_kv_cache(kept)
        model.forward_with_kv_cache(dropped, cache)
        cache.truncate(len(kept))
        assert (cache.length, cache.tokens) == (len(kept), kept)
        got, _ = model.forward_with_kv_cache(appended, cache)
        np.testing.assert_array_equal(got, model.forward(kept + appended)[len(kept) :])

    check()


@every_dtype
def test_a_fork_is_independent(tiny_models: TinyModels, dtype: str) -> None:
    model = load(tiny_models, dtype)
    beginning, one, other = (random_ids(seed, 9, 97) for seed in range(3))
    _, cache = model.forward_with_kv_cache(beginning)
    fork = cache.fork()
    first, _ = model.forward_with_kv_cache(one, cache)
    second, _ = model.forward_with_kv_cache(other, fork)
    np.testing.assert_array_equal(first, model.forward(beginning + one)[9:])
    np.testing.assert_array_equal(second, model.forward(beginning + other)[9:])
    assert (cache.tokens, fork.tokens) == (beginning + one, beginning + other)
    assert fork.capacity == cache.capacity
    fork.truncate(0)
    assert (cache.length, fork.length, fork.nbytes) == (18, 0, 0)
    last, _ = model.forward_with_kv_cache([5], cache)
    np.testing.assert_array_equal(last, model.forward([*beginning, *one, 5])[18:])


@pytest.mark.parametrize("dtype", ["f32", "int8"])
def test_common_prefix_reuse_equals_fresh(tiny_models: TinyModels, dtype: str) -> None:
    model = load(tiny_models, dtype)
    network = model._network
    assert network is not None

    @settings(max_examples=10, deadline=None)
    @given(st.lists(some_ids, min_size=2, max_size=4), st.integers(0, 12))
    def check(prompts: list[list[int]], shared: int) -> None:
        session = Session(model._passes, model.kv_cache())
        for prompt in [*prompts, prompts[-1]]:  # the last is wholly cached
            ids = prompts[0][:shared] + prompt
            got = session.prefill(ids, dtype)
            np.testing.assert_array_equal(got, model.forward(ids)[-1])
            assert session.cache.tokens == ids

    check()


def test_switching_precision_keeps_the_cache(tiny_models: TinyModels) -> None:
    """A pass at int4 continues what int8 began: nothing is computed again, nothing is converted."""
    model = load(tiny_models, "int8")
    ids = random_ids(4, 12, 97)
    _, cache = model.forward_with_kv_cache(ids[:8], dtype="int8")
    store, before = cache.store, cache.nbytes
    mixed, same = model.forward_with_kv_cache(ids[8:10], cache, dtype="int4")
    assert same is cache
    assert cache.store is store
    assert cache.nbytes == before * 10 // 8
    # What the int4 pass left behind does not reach backwards: cut off, int8 goes on as ever.
    fork = cache.fork()
    fork.truncate(8)
    back, _ = model.forward_with_kv_cache(ids[8:], fork, dtype="int8")
    np.testing.assert_array_equal(back, model.forward(ids, dtype="int8")[8:])
    # And the mixed timeline differs from both pure ones.
    for dtype in ("int8", "int4"):
        assert not np.array_equal(mixed, model.forward(ids, dtype=dtype)[8:10])


def test_int4_is_the_same_from_both_loads(tiny_models: TinyModels) -> None:
    for shape in ("odd", "untied", "prime"):
        both, base = (tiny_models.load(shape, dtype) for dtype in ("int8", "int4"))
        ids = random_ids(5, 20, both.config.vocab_size)
        np.testing.assert_array_equal(both.forward(ids, dtype="int4"), base.forward(ids))
        text = both.generate(ids, max_tokens=20, dtype="int4", ignore_eos=True)
        assert text.tokens == base.generate(ids, max_tokens=20, ignore_eos=True).tokens
        assert (text.dtype, both.dtype, base.dtype) == ("int4", "int8", "int4")


def test_last_only_is_the_last_row(tiny_models: TinyModels) -> None:
    model = load(tiny_models, "int8")
    ids = random_ids(6, 11, 97)
    row, cache = model.forward_with_kv_cache(ids, last_only=True)
    np.testing.assert_array_equal(row, model.forward(ids)[-1:])
    assert cache.tokens == ids


def test_a_full_cache_says_so_and_stays_as_it_was(tiny_models: TinyModels) -> None:
    model = load(tiny_models, "int8")
    cache = model.kv_cache(10)
    model.forward_with_kv_cache(random_ids(1, 8, 97), cache)
    with pytest.raises(RequestError, match=r"8 cached \+ 3 new tokens = 11 .* 10 positions"):
        model.forward_with_kv_cache([1, 2, 3], cache)
    assert cache.length == 8
    model.forward_with_kv_cache([1, 2], cache)
    assert cache.length == cache.capacity == 10
    for length in (11, -1):
        with pytest.raises(RequestError, match=f"truncate to {length} positions; it holds 10"):
            cache.truncate(length)
