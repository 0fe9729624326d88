"""A pass that was recorded gives what the model's own code gives: every comparison is equality."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import TinyEncoders, TinyModels, needs_core
from tiny import random_ids, write_gpt2
from tiny_llamas import write_llama

import lapwing
from lapwing import Model
from lapwing.backends.cpu import CpuBackend, CpuRecordedPass
from lapwing.layers.kv_cache import KVCache

pytestmark = needs_core

FAMILIES = ("gpt2", "llama", "qwen3", "phi3", "gemma2", "gemma3_text", "smollm3", "mistral")


def held(model: Model) -> dict[Any, CpuRecordedPass]:
    return model._passes._recorded._held  # type: ignore[attr-defined,no-any-return]


def last_logits(
    model: Model, pieces: list[list[int]], caches: list[KVCache], dtype: str
) -> list[np.ndarray]:
    return model._passes.run(pieces, caches, dtype, last_only=True)  # type: ignore[attr-defined,no-any-return]


@pytest.fixture(scope="module", params=FAMILIES)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Model, Model]:
    """The same model twice; the second is kept from recording."""
    path = tmp_path_factory.mktemp(request.param)
    if request.param == "gpt2":
        write_gpt2(path, seed=1)
    else:
        write_llama(path, seed=1, model_type=request.param)
    first, second = (lapwing.load(path, "int8", store=False) for _ in range(2))
    second._backend.record = lambda *_: None  # type: ignore[method-assign]
    return first, second


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["int8", "int4"]), st.lists(st.integers(1, 4), min_size=3)),
        min_size=2,
        max_size=5,
    )
)
def test_any_pass_again(pair: tuple[Model, Model], steps: list[tuple[str, list[int]]]) -> None:
    """Any number of sequences and of tokens each, at either precision, caches of any size."""
    model, plain = pair
    V = model.config.vocab_size
    caches = [[m.kv_cache(48 + 8 * i) for i in range(3)] for m in pair]
    for at, (dtype, lengths) in enumerate(steps):
        pieces = [random_ids(at * 3 + i, n, V) for i, n in enumerate(lengths[:3])]
        got, want = (
            last_logits(m, pieces, mine[: len(pieces)], dtype)
            for m, mine in zip(pair, caches, strict=True)
        )
        for mine, theirs in zip(got, want, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert held(model)
    assert not held(plain)
    for mine, theirs in zip(*caches, strict=True):
        assert mine.tokens == theirs.tokens
        assert mine.length == theirs.length


def test_nothing_of_the_model_runs_again(tiny_models: TinyModels) -> None:
    """One pass by its own code; then one call a pass."""
    model = tiny_models.load("base", "int8")
    model._forget_passes()
    cache = model.kv_cache()
    network = type(model._network)  # type: ignore[attr-defined]
    with mock.patch.object(network, "__call__", autospec=True, side_effect=network.__call__) as own:
        for token in range(5):
            model.forward_with_kv_cache([token], cache, dtype="int8")
        assert own.call_count == 1
        model.forward_with_kv_cache([5], cache, dtype="int4")
        model.forward_with_kv_cache([6], cache, dtype="int4")
        assert own.call_count == 2


@pytest.mark.parametrize("variant", ["bert", "roberta", "distilbert"])
def test_encoders(tiny_encoders: TinyEncoders, variant: str) -> None:
    model = tiny_encoders.load(variant, "int8")
    model._forget_passes()
    rows = [random_ids(seed, 2 + 3 * seed, model.config.vocab_size) for seed in range(4)]
    fresh = []
    for row in rows:
        model._forget_passes()
        fresh.append(model(row).last_hidden_state)  # type: ignore[operator]
    for _ in range(2):
        for row, want in zip(rows, fresh, strict=True):
            np.testing.assert_array_equal(model(row).last_hidden_state, want)  # type: ignore[operator]
    assert len(held(model)) == 1


def test_longer_than_a_table_of_rotations(tmp_path: Path) -> None:
    """The table grows; the pass that read the old one is recorded anew, and nothing shows."""
    write_llama(tmp_path, seed=1, model_type="llama", max_position_embeddings=1024)
    with lapwing.load(tmp_path, "f32") as model:
        ids = random_ids(1, 520, model.config.vocab_size)
        whole = model.forward(ids)
        cache = model.kv_cache()
        model.forward_with_kv_cache(ids[:254], cache, last_only=True)
        for at in range(254, 520):
            got, _ = model.forward_with_kv_cache([ids[at]], cache)
            if at in (254, 255, 256, 257, 300, 511, 512, 519):
                np.testing.assert_array_equal(got[0], whole[at])


def test_frequencies_that_depend_on_the_room(tmp_path: Path) -> None:
    """Dynamic NTK: caches of other capacities are turned by other angles, together or alone."""
    scaling = {"rope_type": "dynamic", "factor": 4.0}
    write_llama(tmp_path, seed=1, model_type="llama", max_position_embeddings=32, rope=scaling)
    with lapwing.load(tmp_path, "f32") as model:
        ids = random_ids(1, 20, model.config.vocab_size)
        results = []
        for _ in range(2):
            caches = [model.kv_cache(room) for room in (24, 64, 100)]
            alone = [model.forward_with_kv_cache(ids, cache, last_only=True)[0] for cache in caches]
            rows = last_logits(model, [[7]] * 3, caches, "f32")
            results.append([*alone, *rows])
            for cache in caches:
                cache.truncate(20)
            again = [model.forward_with_kv_cache([7], cache)[0] for cache in caches]
            for mine, theirs in zip(again, rows, strict=True):
                np.testing.assert_array_equal(mine, theirs)
        for mine, theirs in zip(*results, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert not np.array_equal(results[0][0], results[0][1])


def test_a_full_cache_is_refused_as_before(tiny_models: TinyModels) -> None:
    model = tiny_models.load("base", "f32")
    cache = model.kv_cache(3)
    for token in range(3):
        model.forward_with_kv_cache([token], cache)
    with pytest.raises(lapwing.RequestError, match="exceed the cache's 3 positions"):
        model.forward_with_kv_cache([3], cache)
    # Below the checks: the native pass itself declines, and touches nothing.
    (recorded,) = held(model).values()
    assert recorded.run([[3], [3]], [1], [cache.store]) is None
    assert recorded.run([[3], [0]], [1], []) is None
    other = model.kv_cache(4).store
    assert recorded.run([[3, 3], [0, 0]], [1, 1], [other, other]) is None
    assert recorded.run([[10**6], [0]], [1], [other]) is None
    assert recorded.run([[-1], [0]], [1], [other]) is None
    with pytest.raises(ValueError, match="numbers, one a token"):
        recorded.run([[3], []], [1], [other])
    with pytest.raises(ValueError, match="numbers of a token: expected 2, got 1"):
        recorded.run([[3]], [1], [other])
    for lengths in ([2], [1, 1], [2**64 - 1, 2]):
        with pytest.raises(ValueError, match="numbers, one a token"):
            recorded.run([[3], [0]], lengths, [other])
    assert recorded.run([[3], [0]], [1, 0], [other, other]) is None
    assert recorded.run([[3], [0]], [1], [other]) is not None


def test_weights_that_are_given_up_are_not_held(tmp_path: Path) -> None:
    write_gpt2(tmp_path, seed=1)
    model = lapwing.load(tmp_path, "int8", store=False)
    cache = model.kv_cache()
    before = model.forward_with_kv_cache([3], cache, last_only=True)[0]
    assert held(model)
    matrix = weakref.ref(model.layers[0].parameters[2].matrix)
    model.layers[0].release()
    assert not held(model)
    gc.collect()
    assert matrix() is None
    cache.truncate(0)
    np.testing.assert_array_equal(model.forward_with_kv_cache([3], cache)[0], before)
    model.close()
    assert not held(model)


def test_an_array_from_elsewhere_is_not_recorded(tiny_models: TinyModels) -> None:
    """A recording that cannot be whole says so: passes then always run by the model's own code."""
    backend = tiny_models.load("base", "f32")._backend
    assert isinstance(backend, CpuBackend)
    x, ids = np.ones((2, 8), np.float32), np.zeros(2, np.int64)
    weight = np.ones(8, np.float32)
    recording = backend.record([ids], [2])
    assert recording is not None
    with recording:
        result = backend.rms_norm(x, weight, 1e-5)
    assert recording.finish(result) is None
    # The same, where the result is not the last operation's, or not of this pass at all.
    table = backend.dense(np.ones((4, 8), np.float32), "f32", "nk")
    for wrong in (lambda a, b: a, lambda a, b: x):
        recording = backend.record([ids], [2])
        assert recording is not None
        with recording:
            a = backend.embed([table], [ids])
            b = backend.rms_norm(a, weight, 1e-5)
        assert recording.finish(wrong(a, b)) is None
