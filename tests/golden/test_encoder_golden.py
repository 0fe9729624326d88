"""Tiny random encoders of every family and head give what transformers gave."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from agreement import assert_logits, rms_relative_error
from golden.conftest import Golden
from oracle import pad
from tiny_encoders import ENCODERS, ROBERTAS, write_encoder
from tiny_sentences import (
    CLASSIFYING_MODELS,
    FILLING_MODELS,
    SENTENCE_MODELS,
    write_sentence_model,
    write_task_model,
)
from tolerances import ENCODER_FLOAT, ENCODER_SCORES, LABEL_LOGITS_RMS, QUANTIZED_LOGITS

Array = npt.NDArray[Any]

STORED = {"F32": "f32", "F16": "f16", "BF16": "bf16"}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(params=ENCODERS)
def name(request: pytest.FixtureRequest) -> str:
    variant: str = request.param
    return variant


@pytest.fixture
def directory(name: str, checkpoints: Path, encoders: Golden) -> Path:
    path = checkpoints / name
    if not path.exists():
        write_encoder(path, seed=encoders.facts["variants"][name]["seed"], **ENCODERS[name])
    return path


def sequences(golden: Golden, name: str) -> Iterator[tuple[Array, Array | None]]:
    """Ids and, where there are any but 0, token types of every sequence of one variant."""
    cuts = np.cumsum(golden.facts["variants"][name]["lengths"])[:-1]
    parts = [np.split(golden.arrays[f"{name}.{part}"], cuts) for part in ("ids", "types")]
    for ids, types in zip(*parts, strict=True):
        yield ids, types if types.any() else None


def one_by_one(model: Any, golden: Golden, name: str) -> dict[str, Array]:
    """What the model says of each sequence by itself, joined like the golden."""
    answers: dict[str, list[Array]] = {"hidden": [], "pooled": [], "logits": []}
    for ids, types in sequences(golden, name):
        output = model(ids.tolist(), token_type_ids=types)
        answers["hidden"].append(output.last_hidden_state)
        if output.pooler_output is not None:
            answers["pooled"].append(output.pooler_output[None])
        if f"{name}.logits" in golden.arrays:
            answers["logits"].append(np.atleast_2d(model.logits(ids, token_type_ids=types)))
    return {part: np.concatenate(arrays) for part, arrays in answers.items() if arrays}


def assert_answers(got: dict[str, Array], golden: Golden, name: str, what: str) -> None:
    """The same parts as the golden, each within ENCODER_FLOAT."""
    parts = [part for part in ("hidden", "pooled", "logits") if f"{name}.{part}" in golden.arrays]
    assert list(got) == parts
    for part in parts:
        assert_logits(got[part], golden.arrays[f"{name}.{part}"], ENCODER_FLOAT, f"{what} {part}")


def test_the_checkpoint_is_the_goldens_byte_for_byte(
    name: str, directory: Path, encoders: Golden
) -> None:
    for file, sha256 in encoders.facts["variants"][name]["sha256"].items():
        assert hashlib.sha256((directory / file).read_bytes()).hexdigest() == sha256, file


def test_f32(name: str, directory: Path, encoders: Golden, backend: str) -> None:
    import lapwing

    with lapwing.load(str(directory), dtype="f32") as model:
        assert_answers(one_by_one(model, encoders, name), encoders, name, name)


@pytest.mark.parametrize("name", [n for n in ENCODERS if "dtype" in ENCODERS[n]], indirect=True)
def test_dtype_of_the_file(name: str, directory: Path, encoders: Golden, backend: str) -> None:
    import lapwing

    dtype = STORED[ENCODERS[name]["dtype"]]
    with lapwing.load(str(directory), dtype=dtype) as model:
        assert_answers(one_by_one(model, encoders, name), encoders, name, f"{name} {dtype}")


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch(
    name: str, directory: Path, encoders: Golden, backend: str, side: str
) -> None:
    """All sequences at once; positions count real tokens, and padding gives zeros."""
    import lapwing

    ids_of, types_of = zip(*sequences(encoders, name), strict=True)
    pad_id = 1 if ENCODERS[name]["family"] in ROBERTAS else 0
    pad_id = ENCODERS[name].get("extra_config", {}).get("pad_token_id", pad_id)
    ids, mask = pad([one.tolist() for one in ids_of], side, pad_id)
    zeros = [np.zeros_like(one) for one in ids_of]
    filled = [zero if one is None else one for one, zero in zip(types_of, zeros, strict=True)]
    types = pad([one.tolist() for one in filled], side)[0]
    with lapwing.load(str(directory), dtype="f32") as model:
        output = model(ids, attention_mask=mask, token_type_ids=types)
        got = {"hidden": output.last_hidden_state, "pooled": output.pooler_output}
        if f"{name}.logits" in encoders.arrays:
            got["logits"] = model.logits(ids, attention_mask=mask, token_type_ids=types)
    for part, values in got.items():
        if values is not None and values.ndim == 3:
            assert values.shape[:2] == ids.shape
            assert not values[mask == 0].any(), f"{part} at padding"
            got[part] = values[mask == 1]
    got = {part: values for part, values in got.items() if values is not None}
    assert_answers(got, encoders, name, f"{name} padded {side}")


@pytest.mark.parametrize("dtype", QUANTIZED_LOGITS)
def test_quantized_stays_near(
    name: str, directory: Path, encoders: Golden, backend: str, dtype: str
) -> None:
    import lapwing

    with lapwing.load(str(directory), dtype=dtype) as model:
        got = one_by_one(model, encoders, name)
    for part, values in got.items():
        want = encoders.arrays[f"{name}.{part}"]
        error = rms_relative_error(values, want)
        if part == "logits" and ENCODERS[name].get("head") == "classification":
            rms = float(np.sqrt((want.astype(np.float64) ** 2).mean()))
            error *= rms / max(rms, LABEL_LOGITS_RMS)
        assert error <= QUANTIZED_LOGITS[dtype], f"{name} {dtype} {part}: {error:.3f}"


def test_no_head_is_said_so(checkpoints: Path, encoders: Golden, backend: str) -> None:
    """ELECTRA's discriminator has a head for its training only."""
    import lapwing

    seed = encoders.facts["variants"]["electra_pretraining"]["seed"]
    variant = ENCODERS["electra_pretraining"]
    directory = write_encoder(checkpoints / "discriminator", seed=seed, **variant)
    with (
        lapwing.load(str(directory), dtype="f32") as model,
        pytest.raises(lapwing.errors.RequestError, match="head"),
    ):
        model.logits([1, 2, 3])


# Texts.


@pytest.fixture(params=SENTENCE_MODELS)
def sentence_model(
    request: pytest.FixtureRequest, checkpoints: Path, encoders: Golden
) -> tuple[str, Path]:
    name: str = request.param
    path = checkpoints / f"sentence-{name}"
    facts = encoders.facts["sentences"]["variants"][name]
    if not path.exists():
        write_sentence_model(path, seed=facts["seed"], **SENTENCE_MODELS[name])
    for file, sha256 in facts["sha256"].items():
        assert hashlib.sha256((path / file).read_bytes()).hexdigest() == sha256, file
    return name, path


def test_embed(sentence_model: tuple[str, Path], encoders: Golden, backend: str) -> None:
    """Tokenizer, cut, pooling, dense layer and unit length, whatever stands together in a pass."""
    import lapwing

    name, directory = sentence_model
    texts = encoders.facts["sentences"]["texts"]
    unit, plain = (encoders.arrays[f"sentence.{name}.{part}"] for part in ("unit", "plain"))
    with lapwing.load(str(directory), dtype="f32") as model:
        assert_logits(model.embed(texts), unit, ENCODER_FLOAT, name)
        assert_logits(model.embed(texts, normalize=False), plain, ENCODER_FLOAT, f"{name} plain")
        assert_logits(model.embed(texts, batch_size=2), unit, ENCODER_FLOAT, f"{name} by twos")
        for text, vector in zip(texts, unit, strict=True):
            assert_logits(model.embed(text), vector, ENCODER_FLOAT, f"{name} {text!r}")


@pytest.mark.parametrize("dtype", QUANTIZED_LOGITS)
def test_quantized_vectors_stay_near(
    sentence_model: tuple[str, Path], encoders: Golden, backend: str, dtype: str
) -> None:
    import lapwing

    name, directory = sentence_model
    with lapwing.load(str(directory), dtype=dtype) as model:
        vectors = model.embed(encoders.facts["sentences"]["texts"])
    error = rms_relative_error(vectors, encoders.arrays[f"sentence.{name}.unit"])
    assert error <= QUANTIZED_LOGITS[dtype], f"{name} {dtype}: {error:.3f}"


@pytest.mark.parametrize("name", FILLING_MODELS)
def test_fill_mask(name: str, checkpoints: Path, encoders: Golden, backend: str) -> None:
    """The tokens of transformers' pipeline, in its order."""
    import lapwing

    facts = encoders.facts["filled"][name]
    directory = write_task_model(checkpoints / name, seed=facts["seed"], **FILLING_MODELS[name])
    with lapwing.load(str(directory), dtype="f32") as model:
        for answer in facts["answers"]:
            masks = model.fill_mask(answer["text"], top_k=encoders.facts["top_k"])
            assert len(masks) == len(answer["masks"])
            for got, want in zip(masks, answer["masks"], strict=True):
                assert [one.token_id for one in got] == [one["token"] for one in want]
                assert_scores([one.score for one in got], [one["score"] for one in want])


@pytest.mark.parametrize("name", CLASSIFYING_MODELS)
def test_classify(name: str, checkpoints: Path, encoders: Golden, backend: str) -> None:
    """Texts and pairs, with the labels and scores of transformers' pipeline."""
    import lapwing

    facts = encoders.facts["classified"][name]
    variant = CLASSIFYING_MODELS[name]
    directory = write_task_model(checkpoints / name, seed=facts["seed"], **variant)
    texts = [
        text if isinstance(text, str) else tuple(text)
        for text in (answer["text"] for answer in facts["answers"])
    ]
    with lapwing.load(str(directory), dtype="f32") as model:
        together = model.classify(texts)
        alone = [model.classify([text])[0] for text in texts]
        best = model.classify(texts, top_k=1)
    for answers in (together, alone):
        for got, answer in zip(answers, facts["answers"], strict=True):
            want = answer["labels"]
            assert [one.label for one in got] == [one["label"] for one in want]
            assert_scores([one.score for one in got], [one["score"] for one in want])
    assert best == [answers[:1] for answers in together]


def assert_scores(got: list[float], want: list[float]) -> None:
    np.testing.assert_allclose(got, want, rtol=ENCODER_SCORES)
