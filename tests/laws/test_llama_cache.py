"""Caches of Llamas and friends are timelines, too, also where windows give memory back.

Long enough for that: 256 positions and a window have to be behind a token before any go.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import load_as, needs_core
from tiny import random_ids
from tiny_llama_variants import LLAMAS
from tiny_llamas import write_llama

from lapwing import KVCache, Model, RequestError
from lapwing.engine.session import Session

pytestmark = needs_core  # NumPy's products may differ with the number of rows

CONTEXT = 1500
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "llama": ({"num_hidden_layers": 1}, "int8"),
    "mistral": ({"model_type": "mistral", "sliding_window": 20}, "f32"),
    "qwen3": (LLAMAS["qwen3"], "int4"),
    "gemma2": (LLAMAS["gemma2"], "int8"),
    "phi3": (LLAMAS["phi3_longrope"], "f16"),
}

append = st.tuples(st.just("append"), st.integers(1, 500))
cut = st.tuples(st.just("cut"), st.integers(0, 100))  # to so many hundredths of its length
fork = st.tuples(st.just("fork"), st.just(0))


@pytest.fixture(scope="module", params=CASES)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Model]:
    shape, dtype = CASES[request.param]
    directory: Path = tmp_path_factory.mktemp("long")
    write_llama(directory, seed=2, **{**shape, "max_position_embeddings": CONTEXT})
    with load_as(directory, dtype, "auto", "auto", threads=1) as loaded:
        yield loaded


def fresh(model: Model, ids: list[int]) -> np.ndarray:
    """Logits of the last token, and a cache that never held anything else."""
    return Session(model._passes, model.kv_cache()).prefill(ids, model.dtype)  # type: ignore[attr-defined]


def last_of(model: Model, ids: list[int], cache: KVCache) -> np.ndarray:
    return model.forward_with_kv_cache(ids, cache, last_only=True)[0][-1]


def test_cut_forked_and_appended_is_as_if_just_given(model: Model) -> None:
    @settings(max_examples=12, deadline=None)
    @given(st.lists(st.one_of(append, append, cut, fork), min_size=2, max_size=6))
    def check(steps: list[tuple[str, int]]) -> None:
        cache, tokens, seed = model.kv_cache(), list[int](), 0
        for verb, amount in steps:
            if verb == "append":
                seed += 1
                new = random_ids(seed, min(amount, CONTEXT - 1 - len(tokens)), 30)
                if not new:
                    continue
                got = last_of(model, new, cache)
                tokens += new
                np.testing.assert_array_equal(got, fresh(model, tokens))
            elif verb == "fork":
                other, cache = cache, cache.fork()
                last_of(model, [7], other)  # its own way: nobody else sees it
            else:
                length = len(tokens) * amount // 100
                shortest = min(cache.store.shortest, len(tokens))
                if 0 < length < shortest:
                    with pytest.raises(
                        RequestError, match=f"; {cache.store.shortest} or more, or 0"
                    ):
                        cache.truncate(length)
                    length = len(tokens)
                cache.truncate(length)
                del tokens[length:]
            assert cache.tokens == tokens
        np.testing.assert_array_equal(last_of(model, [5], cache), fresh(model, [*tokens, 5]))

    check()


def test_what_is_shared_with_the_last_prompt_is_reused_where_it_can_be(model: Model) -> None:
    session = Session(model._passes, model.kv_cache())  # type: ignore[attr-defined]
    beginning = random_ids(1, 900, 30)
    for length in (900, 890, 300, 880):
        ids = [*beginning[:length], 3, 4]
        np.testing.assert_array_equal(session.prefill(ids, model.dtype), fresh(model, ids))
        assert session.cache.tokens == ids


def test_a_window_bounds_what_a_cache_holds(model: Model) -> None:
    """Of every layer with a window at most a window and the larger of 256 and half a window."""
    windows = model.config.windows  # type: ignore[attr-defined]
    cache = model.kv_cache()
    last_of(model, random_ids(1, CONTEXT - 1, 30), cache)
    one = model.kv_cache(1)
    last_of(model, [1], one)
    a_position = one.nbytes / len(windows)
    bounds = [w + max(256, w // 2) if w else cache.length for w in windows]
    assert cache.nbytes <= sum(min(bound, cache.length) for bound in bounds) * a_position
    if not any(windows):
        assert cache.nbytes == cache.length * len(windows) * a_position
