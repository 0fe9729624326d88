"""A text's vectors are the same bits whatever stands beside it: every comparison is equality."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.company import set_threads
from loading import TinyEncoders, needs_core
from tiny import random_ids

from lapwing import backends
from lapwing.engine import encoding, read_ahead
from lapwing.engine.encoder import EncoderModel
from lapwing.quant.recipe import DTYPES

pytestmark = needs_core  # NumPy's products may differ with the number of rows

Array = npt.NDArray[np.float32]

# (variant, loaded as): every kernel, odd sizes, heads of 2, 7, 12 and 80, every family.
CASES = [
    *(("odd", dtype) for dtype in DTYPES),
    *(("wide", dtype) for dtype in ("f32", "int8", "int4")),
    ("prime", "int8"),
    ("f16", "f16"),
    ("bf16", "bf16"),
    ("distilbert_odd", "int4"),
    ("electra_odd", "int8"),
    ("narrow_heads", "f32"),
    ("roberta", "int8"),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-as-{case[1]}")
LENGTH = 20
TEXTS = ("A wolf", "", "The king was in the forest, and the queen, too.", "golden ball " * 9, "x")


def rows_of(model: EncoderModel, count: int = 5) -> list[list[int]]:
    return [random_ids(seed, LENGTH, model.config.vocab_size) for seed in range(count)]


def hidden(model: EncoderModel, ids: object, **how: object) -> Array:
    return model(ids, **how).last_hidden_state


@every_case
def test_batch_equals_single(tiny_encoders: TinyEncoders, case: tuple[str, str]) -> None:
    model = tiny_encoders.load(*case)
    rows = rows_of(model)
    together = model(rows)
    assert together.last_hidden_state.shape == (5, LENGTH, model.config.hidden_size)
    for i, ids in enumerate(rows):
        alone = model(ids)
        np.testing.assert_array_equal(together.last_hidden_state[i], alone.last_hidden_state)
        if together.pooler_output is not None:
            np.testing.assert_array_equal(together.pooler_output[i], alone.pooler_output)


@every_case
@pytest.mark.parametrize("side", ["left", "right", "holes"])
def test_padded_equals_packed(
    tiny_encoders: TinyEncoders, case: tuple[str, str], side: str
) -> None:
    model = tiny_encoders.load(*case)
    lengths = [1, 7, 20, 13, 0]
    mask = np.zeros((len(lengths), LENGTH), np.int64)
    for row, length in zip(mask, lengths, strict=True):
        if side == "left":
            row[LENGTH - length :] = 1
        elif side == "right":
            row[:length] = 1
        else:
            row[np.linspace(0, LENGTH - 1, length).astype(int)] = 1
    batch = np.array(rows_of(model))
    types = np.array(rows_of(model)) % max(1, model.config.type_vocab_size)
    got = hidden(model, batch, attention_mask=mask, token_type_ids=types)
    for row, ids, kinds, live in zip(got, batch, types, mask == 1, strict=True):
        if live.any():
            want = hidden(model, ids[live], token_type_ids=kinds[live])
            np.testing.assert_array_equal(row[live], want)
        assert not row[~live].any()


@every_case
def test_threads_do_not_matter(tiny_encoders: TinyEncoders, case: tuple[str, str]) -> None:
    model = tiny_encoders.load(*case)
    rows = rows_of(model)
    want = hidden(model, rows)
    for few, many in ((2, 2), (3, 3), (1, 3), (3, 2), (1, 1)):
        set_threads(model, few, many)
        np.testing.assert_array_equal(hidden(model, rows), want)
        np.testing.assert_array_equal(hidden(model, rows[0][:1]), hidden(model, [rows[0][:1]])[0])


@every_case
def test_sequences_shared_out_to_threads_are_the_same_bits(
    tiny_encoders: TinyEncoders, case: tuple[str, str]
) -> None:
    model = tiny_encoders.load(*case)
    rows = rows_of(model, 40)
    cut = [ids[: LENGTH - i % 5] for i, ids in enumerate(rows)]  # 720 tokens
    want = [hidden(model, ids) for ids in cut]
    mask = np.array([[1] * len(ids) + [0] * (LENGTH - len(ids)) for ids in cut])
    for threads in (1, 2, 3, 5, 2):
        set_threads(model, threads, threads)
        got = hidden(model, rows, attention_mask=mask)
        for row, live, alone in zip(got, mask == 1, want, strict=True):
            np.testing.assert_array_equal(row[live], alone)


@every_case
def test_every_instruction_set_equals_the_generic_one(
    tiny_encoders: TinyEncoders, case: tuple[str, str]
) -> None:
    plain = tiny_encoders.load(*case, isa="generic")
    rows = rows_of(plain)
    want = hidden(plain, rows)
    for isa in backends.available_isas():
        np.testing.assert_array_equal(hidden(tiny_encoders.load(*case, isa=isa), rows), want)


@every_case
def test_passes_do_not_matter(
    tiny_encoders: TinyEncoders, case: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_encoders.load(*case)
    rows = rows_of(model)
    want = hidden(model, rows)
    for tokens in (1, 21, 45):
        monkeypatch.setattr(encoding, "MIN_PASS_TOKENS", tokens)
        monkeypatch.setattr(encoding, "PASS_BYTES", 0)
        np.testing.assert_array_equal(hidden(model, rows), want)


@pytest.mark.parametrize("dtype", ["f32", "int8", "int4"])
@pytest.mark.parametrize("variant", ["mean", "all_modes", "roberta"])
def test_texts_in_any_company_and_order(
    tiny_encoders: TinyEncoders, variant: str, dtype: str
) -> None:
    model = tiny_encoders.load(variant, dtype, text=True)
    alone = {text: model.embed(text) for text in TEXTS}

    @settings(max_examples=15, deadline=None)
    @given(
        st.lists(st.sampled_from(TEXTS), max_size=40),
        st.one_of(st.just("auto"), st.integers(1, 50)),
        st.integers(1, 8),
    )
    def check(texts: list[str], batch_size: int | str, window: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(read_ahead, "FIRST_WINDOW", window)
            patch.setattr(read_ahead, "LARGEST_WINDOW", window + 3)
            got = model.embed(texts, batch_size=batch_size)
        assert got.shape == (len(texts), model.embedding_size)
        assert got.dtype == np.float32
        for text, vector in zip(texts, got, strict=True):
            np.testing.assert_array_equal(vector, alone[text])

    check()


def test_int4_of_an_int8_model_is_the_int4_model(tiny_encoders: TinyEncoders) -> None:
    both, base = (
        tiny_encoders.load("mean", "int8", text=True),
        tiny_encoders.load("mean", "int4", text=True),
    )
    np.testing.assert_array_equal(both.embed(TEXTS, dtype="int4"), base.embed(TEXTS))
    assert not np.array_equal(both.embed(TEXTS), base.embed(TEXTS))


def test_one_model_in_two_threads(tiny_encoders: TinyEncoders) -> None:
    from concurrent.futures import ThreadPoolExecutor

    model = tiny_encoders.load("mean", "int8", text=True, threads=2)
    want = model.embed(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: model.embed(TEXTS), range(12)):
            np.testing.assert_array_equal(got, want)
