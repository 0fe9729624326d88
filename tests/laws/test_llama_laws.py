"""Llamas and friends: the laws of test_company.py, and that of windows; all by equality."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

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
from loading import load_as, needs_core
from tiny_llama_variants import LLAMAS
from tiny_llamas import write_llama

from lapwing import Model, backends
from lapwing.quant.recipe import DTYPES

pytestmark = needs_core  # NumPy's products may differ with the number of rows

Load = Callable[..., Model]

# (variant, the file's dtype, loaded as): every kernel, heads of 2 to 80, every family, window, cap.
CASES = [
    *(("odd", "F32", dtype) for dtype in DTYPES),
    *(("prime", "F16", dtype) for dtype in ("f16", "f32", "int8")),
    *(("wide", "BF16", dtype) for dtype in ("bf16", "int4")),
    ("narrow_heads", "F32", "f32"),
    ("mlp_bias", "F32", "int8"),
    ("gelu", "F32", "int4"),
    ("dynamic", "F32", "int8"),
    ("llama3", "F32", "int8"),
    ("yarn_mscale", "F32", "f32"),
    ("mistral_window", "F32", "f32"),
    ("mistral_window", "F32", "int8"),
    ("qwen2_window", "F32", "int4"),
    ("qwen3", "BF16", "bf16"),
    ("qwen3", "F32", "int8"),
    ("smollm3_window", "F32", "f32"),
    ("phi3_longrope", "F32", "f32"),
    ("phi3_longrope_new", "F16", "f16"),
    ("phi3_partial", "F32", "int8"),
    ("gemma2", "F32", "f32"),
    ("gemma2_odd", "F32", "int8"),
    ("gemma3_linear", "F32", "int4"),
    ("gemma3_odd", "F16", "f16"),
]
every_case = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-as-{case[2]}"
)
LENGTH = 40

# Every layer has a window, and a token is the last that its own window sees.
WINDOWS = (2, 5)
S = "sliding_attention"
WINDOWED: dict[str, dict[str, Any]] = {
    "mistral": {},
    "phi3": {},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 0},
    "qwen3": {"use_sliding_window": True, "layer_types": S},
    "smollm3": {"use_sliding_window": True, "layer_types": S, "no_rope_layer_interval": 2},
    "gemma2": {"layer_types": S},
    "gemma3_text": {"layer_types": S},
}


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """`load(dtype, **arguments of write_llama)`, each written and loaded once."""
    folder = tmp_path_factory.mktemp("llamas")
    directories: dict[str, Any] = {}
    models: dict[str, Model] = {}

    def loaded(dtype: str, /, *, isa: str = "auto", **shape: Any) -> Model:
        key = repr(sorted(shape.items()))
        if key not in directories:
            directories[key] = write_llama(folder / str(len(directories)), seed=1, **shape)
        name = f"{key} {dtype} {isa}"
        if name not in models:
            models[name] = load_as(directories[key], dtype, "auto", isa, threads=1)
        return models[name]

    yield loaded
    for model in models.values():
        model.close()


def of_case(load: Load, case: tuple[str, str, str], **how: str) -> Model:
    variant, file_dtype, dtype = case
    return load(dtype, **{**LLAMAS[variant], "dtype": file_dtype}, **how)


@every_case
def test_prefill_equals_token_by_token(load: Load, case: tuple[str, str, str]) -> None:
    model = of_case(load, case)
    check_token_by_token(model, ids_for(model, LENGTH))


@pytest.mark.parametrize(
    ("variant", "dtype"),
    [("long", "f32"), ("long", "int8"), ("mistral_window", "f32"), ("gemma3", "int4")],
)
def test_any_cut_of_a_sequence(load: Load, variant: str, dtype: str) -> None:
    model = load(dtype, **LLAMAS[variant])
    ids = ids_for(model, model.context_length)

    @settings(max_examples=8, deadline=None)
    @given(st.sets(st.integers(1, len(ids) - 1), max_size=6))
    def check(cuts: set[int]) -> None:
        check_cuts(model, ids, cuts)

    check()


@every_case
def test_batch_equals_single(load: Load, case: tuple[str, str, str]) -> None:
    model = of_case(load, case)
    check_batch(model, rows_for(model, 5, LENGTH))


@every_case
@pytest.mark.parametrize("side", SIDES)
def test_padded_equals_packed(load: Load, case: tuple[str, str, str], side: str) -> None:
    """Of rows on either side of the length at which longrope turns otherwise."""
    model = of_case(load, case)
    mask = mask_for([1, 7, 20, LENGTH, 13], LENGTH, side)
    check_padded(model, rows_for(model, len(mask), LENGTH), mask)


@every_case
def test_threads_do_not_matter(load: Load, case: tuple[str, str, str]) -> None:
    model = of_case(load, case)
    check_threads(model, rows_for(model, 3, LENGTH))


@every_case
def test_chunks_do_not_matter(
    load: Load, case: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = of_case(load, case)
    check_chunks(model, rows_for(model, 3, LENGTH), monkeypatch)


@every_case
def test_every_instruction_set_equals_the_generic_one(
    load: Load, case: tuple[str, str, str]
) -> None:
    plain = of_case(load, case, isa="generic")
    assert plain.isa == "generic"
    for isa in backends.available_isas():
        model = of_case(load, case, isa=isa)
        assert model.isa == isa
        check_same(model, plain, ids_for(plain, LENGTH))


def windowed(load: Load, model_type: str, window: int, n_layers: int, dtype: str) -> Model:
    shape = dict(WINDOWED[model_type], num_hidden_layers=n_layers, sliding_window=window)
    if "layer_types" in shape:
        shape["layer_types"] = [S] * n_layers
    return load(dtype, model_type=model_type, **shape)


def last_logits(model: Model, ids: list[int]) -> np.ndarray:
    """[2, V]: of one pass, and of a prefill with one token after it."""
    cache = model.kv_cache(len(ids))
    model.forward_with_kv_cache(ids[:-1], cache)
    after, _ = model.forward_with_kv_cache(ids[-1:], cache)
    return np.concatenate([model.forward(ids)[-1:], after])


@pytest.mark.parametrize("dtype", ["f32", "int8"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("model_type", WINDOWED)
def test_no_token_is_seen_from_beyond_the_windows(
    load: Load, model_type: str, window: int, n_layers: int, dtype: str
) -> None:
    """A layer carries what a token says window - 1 tokens on, and n layers n times as far."""
    model = windowed(load, model_type, window, n_layers, dtype)
    ids = ids_for(model, LENGTH)
    first_seen = LENGTH - 1 - n_layers * (window - 1)
    want = last_logits(model, ids)

    others = ids_for(model, first_seen, seed=4)
    assert others[-1] != ids[first_seen - 1]
    np.testing.assert_array_equal(last_logits(model, others + ids[first_seen:]), want)

    changed = list(ids)
    changed[first_seen] = (ids[first_seen] + 1) % model.config.vocab_size
    got = last_logits(model, changed)
    assert (got != want).any(axis=1).all()


@pytest.mark.parametrize("model_type", WINDOWED)
def test_what_one_layer_sees(load: Load, model_type: str) -> None:
    """Each token by itself: the last `window` of them, itself among those, and no other."""
    window = WINDOWS[-1]
    model = windowed(load, model_type, window, 1, "f32")
    ids = ids_for(model, LENGTH)
    want = last_logits(model, ids)
    seen = []
    for position in range(LENGTH):
        changed = list(ids)
        changed[position] = (ids[position] + 1) % model.config.vocab_size
        differs = (last_logits(model, changed) != want).any(axis=1)
        assert differs.all() == differs.any(), position
        seen.append(bool(differs.all()))
    assert seen == [position > LENGTH - 1 - window for position in range(LENGTH)]


@pytest.mark.parametrize("dtype", ["f32", "int8"])
@pytest.mark.parametrize("model_type", WINDOWED)
def test_a_window_as_long_as_the_text_is_none(load: Load, model_type: str, dtype: str) -> None:
    """One token less, and the last token misses the first."""
    wide, exact, narrow = (
        windowed(load, model_type, window, 2, dtype) for window in (LENGTH + 9, LENGTH, LENGTH - 1)
    )
    ids = ids_for(wide, LENGTH)
    want = wide.forward(ids)
    np.testing.assert_array_equal(exact.forward(ids), want)
    got = narrow.forward(ids)
    np.testing.assert_array_equal(got[:-1], want[:-1])
    assert (got[-1] != want[-1]).any()


@pytest.mark.parametrize("model_type", WINDOWED)
def test_windows_and_batches(load: Load, model_type: str) -> None:
    """Rows of unlike lengths, some beyond their windows."""
    model = windowed(load, model_type, WINDOWS[-1], 2, "int8")
    lengths = [1, 4, 5, 6, 17, LENGTH]
    batch = rows_for(model, len(lengths), LENGTH)
    for side in SIDES:
        check_padded(model, batch, mask_for(lengths, LENGTH, side))
    for row, length in itertools.islice(zip(batch, lengths, strict=True), 3, None):
        check_token_by_token(model, row[:length].tolist())
