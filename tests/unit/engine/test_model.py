"""The Python interface: every way in, and a message for every way that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import TinyModels
from tiny import random_ids, write_gpt2

import lapwing
from lapwing import BackendError, Model, RequestError, TokenizerError
from lapwing.quant.recipe import DTYPES

IDS = random_ids(3, 7, 97)


@pytest.fixture
def model(tiny_models: TinyModels) -> Model:
    return tiny_models.load("odd", "int8")


def test_shapes_of_logits(model: Model) -> None:
    V = 97
    one = model.forward(IDS)
    assert (one.shape, one.dtype) == ((7, V), np.float32)
    assert model.forward(np.array([IDS, IDS])).shape == (2, 7, V)
    assert model(IDS).logits.shape == (7, V)
    assert model([IDS]).logits.shape == (1, 7, V)
    np.testing.assert_array_equal(model([IDS]).logits[0], one)
    for kind in (np.int32, np.uint8, np.int64):
        np.testing.assert_array_equal(model.forward(np.array(IDS, kind)), one)
    np.testing.assert_array_equal(model.forward(np.array([IDS, IDS]).T[:, 0]), one)  # strided
    row, cache = model.forward_with_kv_cache([IDS])
    np.testing.assert_array_equal(row, one)
    assert isinstance(cache, lapwing.KVCache)


def test_masks(model: Model) -> None:
    batch = np.array([IDS, IDS])
    for mask in ([[1] * 7, [0] * 7], np.array([[True] * 7, [False] * 7])):
        logits = model(batch, attention_mask=mask).logits
        np.testing.assert_array_equal(logits[0], model.forward(IDS))
        assert not logits[1].any()
    assert not model(IDS, attention_mask=[0] * 7).logits.any()
    half = model(IDS, attention_mask=[0, 0, 0, 1, 1, 1, 1]).logits
    np.testing.assert_array_equal(half[3:], model.forward(IDS[3:]))
    with pytest.raises(RequestError, match=r"attention_mask: expected shape \[2, 7\], got \[7\]"):
        model(batch, attention_mask=[1] * 7)
    # Padding may be any id: there is no token where the mask is 0.
    model([[5, -100], [5, 6]], attention_mask=[[1, 0], [1, 1]])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], r"input_ids: expected \[L\] or \[B, L\], got shape \[0\]"),
        ([[]], r"got shape \[1, 0\]"),
        (5, r"got shape \[\]"),
        ([[[1]]], r"got shape \[1, 1, 1\]"),
        ([1.5, 2.0], "input_ids: expected whole numbers, got float64"),
        ([True, False], "input_ids: expected whole numbers, got bool"),
        (["a"], "input_ids: expected whole numbers"),
        ([2**70], "input_ids: expected whole numbers"),
        ([[1, 2], [3]], r"input_ids: expected \[L\] or \[B, L\]"),
        ([0, 97], r"token 1: 97 is outside the vocabulary \[0, 97\)"),
        ([0, 1, -1], r"token 2: -1 is outside the vocabulary"),
        ([2**40], "token 0: 1099511627776 is outside the vocabulary"),
    ],
)
def test_ids_that_are_none(model: Model, ids: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        model.forward(ids)
    with pytest.raises(RequestError):
        model.forward_with_kv_cache(ids)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([1, 97], "token 1: 97 is outside the vocabulary"),
        ([1.5], "token 0: expected a whole number, got 1.5"),
        (["x"], "token 0: expected a whole number, got 'x'"),
        ([[1, 2]], "token 0: expected a whole number"),
        (None, "prompt: expected text or token ids, got None"),
        (7, "prompt: expected text or token ids, got 7"),
        (b"abc", "prompt: expected text or token ids, got b'abc'"),
    ],
)
def test_prompts_that_are_none(model: Model, prompt: Any, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        model.generate(prompt)
    assert message in str(caught.value)


def test_an_empty_prompt_begins_a_text(model: Model, tmp_path: Path) -> None:
    assert model.generate([], max_tokens=3).tokens == model.generate([0], max_tokens=3).tokens
    made = write_gpt2(tmp_path, seed=1, extra_config={"bos_token_id": None})
    with (
        lapwing.load(made) as other,
        pytest.raises(RequestError, match="names no token to begin a text with"),
    ):
        other.generate([])


def test_hugging_face_spellings(tiny_models: TinyModels) -> None:
    directory = tiny_models.directory("odd")
    with lapwing.load(directory, torch_dtype="torch.float16") as model:
        assert (model.dtype, model.requested_dtype) == ("f16", "torch.float16")
        theirs = model.generate(IDS, max_new_tokens=4, do_sample=False)
        assert theirs.tokens == model.generate(IDS, max_tokens=4).tokens
    with pytest.raises(RequestError, match="unknown or repeated argument 'dtype'"):
        lapwing.load(directory, dtype="f16", torch_dtype="f16")
    with pytest.raises(RequestError, match="unknown or repeated argument 'device_map'"):
        lapwing.load(directory, device_map="auto")
    with pytest.raises(RequestError, match=r"dtype: expected one of auto, .*; got 'int3'"):
        lapwing.load(directory, dtype="int3")
    with pytest.raises(BackendError, match="device: expected one of auto, cpu; got 'cuda'"):
        lapwing.load(directory, device="cuda")


SERVES = {"f32": {"f32"}, "f16": {"f16"}, "bf16": {"bf16"}, "int8": {"int8", "int4"}}


@pytest.mark.parametrize("loaded", [*SERVES, "int4"])
def test_precisions_served(tiny_models: TinyModels, loaded: str) -> None:
    """A mapped store of both planes serves both, whichever was asked for."""
    model = tiny_models.load("odd", loaded)
    serves = SERVES["int8" if loaded == "int4" else loaded]
    assert set(model.precisions) == serves
    for wanted in DTYPES:
        calls: list[Any] = [
            lambda wanted=wanted: model.forward(IDS, dtype=wanted),
            lambda wanted=wanted: model(IDS, dtype=wanted),
            lambda wanted=wanted: model.forward_with_kv_cache(IDS, dtype=wanted),
            lambda wanted=wanted: model.generate(IDS, max_tokens=1, dtype=wanted),
        ]
        for call in calls:
            if wanted in serves:
                call()
                continue
            with pytest.raises(RequestError) as caught:
                call()
            message = str(caught.value)
            assert f"the model was loaded as {loaded} and serves" in message
            if (loaded, wanted) == ("int4", "int8"):
                assert message.endswith("It holds base planes only; load it as int8 to have both.")
            else:
                assert message.endswith(f"Load it with dtype='{wanted}' for that.")


def test_what_was_chosen(tiny_models: TinyModels) -> None:
    model = tiny_models.load("f16", "int8")
    assert (model.dtype, model.stored_dtype, model.requested_dtype) == ("int8", "f16", "int8")
    assert (model.device, model.context_length) == ("cpu", 64)
    assert model.config.vocab_size == 128
    assert model.load_s > 0
    assert model.backend in ("cpu", "reference")


def test_threads(tiny_models: TinyModels) -> None:
    model = tiny_models.load("odd", "int8")
    before = model.threads
    model.threads = 3
    assert (model.threads, model.prefill_threads) == (3, 3)
    assert model.generate(IDS, max_tokens=1).threads == 3
    model.threads = before
    bad: Any
    for bad in (0, -1, 1025, "2", 1.5, True, None):
        with pytest.raises(RequestError) as caught:
            model.threads = bad
        assert str(caught.value) == f"threads: expected a number from 1 to 1024, got {bad!r}"
    assert model.threads == before
    with pytest.raises(RequestError, match="threads: expected auto, measure or a number"):
        lapwing.load(tiny_models.directory("odd"), threads=0)


def test_without_a_tokenizer(model: Model) -> None:
    """Ids serve; only text fails, and says why."""
    result = model.generate(IDS, max_tokens=5, ignore_eos=True)
    assert (result.text, len(result.tokens)) == ("", 5)
    chunks = list(model.stream(IDS, max_tokens=5, ignore_eos=True))
    assert [chunk.token for chunk in chunks] == result.tokens
    for call in (lambda: model.tokenizer, lambda: model.generate("Once")):
        with pytest.raises(TokenizerError, match=r"looked for tokenizer\.json"):
            call()
    with pytest.raises(RequestError, match="stop strings need a tokenizer"):
        model.generate(IDS, stop="x")


def test_close(tiny_models: TinyModels) -> None:
    model = lapwing.load(tiny_models.directory("odd"), dtype="f32")
    _, cache = model.forward_with_kv_cache(IDS)
    stream = model.stream(IDS, max_tokens=20, ignore_eos=True)
    next(stream)
    model.close()
    model.close()
    calls: list[Any] = [
        lambda: model.forward(IDS),
        lambda: model(IDS),
        lambda: model.forward_with_kv_cache([1], cache),
        lambda: model.generate(IDS),
        lambda: model.kv_cache(),
        lambda: next(stream),
    ]
    for call in calls:
        with pytest.raises(RequestError, match="the model is closed"):
            call()
    assert cache.length == 7  # the caller's own


def test_with_statement(tiny_models: TinyModels) -> None:
    with lapwing.load(tiny_models.directory("odd")) as model:
        assert model.forward(IDS).shape == (7, 97)
    with pytest.raises(RequestError, match="the model is closed; load it again"):
        model.forward(IDS)
    with pytest.raises(ZeroDivisionError), lapwing.load(tiny_models.directory("odd")):
        _ = 1 / 0


@pytest.mark.parametrize("shape", ["base", "odd", "untied", "old_hub", "prime", "sharded"])
def test_memory_at_the_files_dtype_is_the_files_bytes(tiny_models: TinyModels, shape: str) -> None:
    """Every tensor of the headers once: a tied head takes nothing."""
    directory = tiny_models.directory(shape, "F32")
    total = 0
    for file in directory.glob("*.safetensors"):
        raw = file.read_bytes()
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        for name, info in header.items():
            if name != "__metadata__" and not name.endswith(".attn.bias"):
                total += info["data_offsets"][1] - info["data_offsets"][0]
    model = tiny_models.load(shape, "f32", file_dtype="F32")
    assert model.estimate_memory_usage() == total
    smaller = [tiny_models.load(shape, dtype).estimate_memory_usage() for dtype in ("f16", "int4")]
    assert total > smaller[0] > smaller[1] or shape == "prime"  # tiny rows are mostly padding


def test_progress_counts_every_byte(tiny_models: TinyModels) -> None:
    calls: list[tuple[int, int]] = []
    directory = tiny_models.directory("odd")
    tell = lambda done, total: calls.append((done, total))  # noqa: E731
    lapwing.load(directory, store=False, on_progress=tell).close()
    done = [so_far for so_far, _ in calls]
    assert done == sorted(set(done))
    assert {total for _, total in calls} == {done[-1]}


def test_capacity(model: Model) -> None:
    assert model.kv_cache().capacity == 64
    assert model.kv_cache(5).capacity == 5
    for wrong in (0, 65, -1):
        with pytest.raises(RequestError, match=f"expected 1 to 64 positions, got {wrong}"):
            model.kv_cache(wrong)


def test_a_cache_of_another_model_is_refused(tiny_models: TinyModels) -> None:
    _, cache = tiny_models.load("base", "int8").forward_with_kv_cache([1, 2])
    for other, dtype in (("odd", "int8"), ("base", "f32")):  # another model, another cache dtype
        with pytest.raises(lapwing.RequestError, match="cache: it was made for"):
            tiny_models.load(other, dtype).forward_with_kv_cache([3], cache)
    assert cache.length == 2


def test_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(lapwing.ModelNotFoundError):
        lapwing.load(tmp_path / "absent")
    with pytest.raises(lapwing.ConfigError, match=r"config\.json"):
        lapwing.load(tmp_path)
