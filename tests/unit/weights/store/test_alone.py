"""A store whose checkpoint is gone is the model; one that cannot serve says what it can."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import TinyEncoders
from numpy.typing import NDArray
from stores import store_in
from tiny import write_gpt2
from tiny_llamas import write_llama

import lapwing
from lapwing import ModelNotFoundError, RequestError
from lapwing.engine.encoder import EncoderModel
from lapwing.weights.hub import bundled_models
from lapwing.weights.store import shelf
from lapwing.weights.store.file import StoreFile

SMALL = {"n_embd": 32, "n_head": 2, "n_layer": 1, "vocab_size": 2048}
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
IDS = [3, 1, 4, 1, 5, 9]
LOADS = ("auto", "mapped", "lazy", "progressive", "eager")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = write_gpt2(tmp_path / "model", seed=1, **SMALL)
    shutil.copy(bundled_models()["tales"] / "tokenizer.json", made)
    (made / "chat_template.jinja").write_text(TEMPLATE)
    (made / "generation_config.json").write_text('{"eos_token_id": [5, 7]}')
    return made


def logits(name: Path | str, **arguments: Any) -> NDArray[np.float32]:
    with lapwing.load(name, threads=1, **arguments) as model:
        return model.forward(IDS)


@pytest.mark.parametrize("load", LOADS)
def test_it_has_all_that_the_directory_had(directory: Path, cache: Path, load: str) -> None:
    messages = [{"role": "user", "content": "Once"}]

    def seen(name: Path) -> dict[str, Any]:
        with lapwing.load(name, threads=1, load=load) as model:
            answer = model.generate("Once upon a time", max_tokens=5, ignore_eos=True)
            return {
                "logits": model.forward(IDS).tolist(),
                "text": answer.text,
                "ids": model.tokenizer.encode("Once upon a time, ü 日本"),
                "chat": model.chat(messages, max_tokens=5).tokens,
                "eos": model.eos_token_ids,
                "config": model.config,
                "precisions": model.precisions,
            }

    want = seen(directory)
    path = store_in(cache)
    assert want["eos"] == {5, 7}
    shutil.rmtree(directory)
    assert seen(directory) == want
    assert seen(path) == want
    moved = path.with_name("elsewhere")
    shutil.move(path, moved)
    assert seen(moved) == want


def test_a_llama_and_floats(tmp_path: Path, cache: Path) -> None:
    directory = write_llama(tmp_path / "llama", seed=1)
    for dtype in ("int8", "f16", "bf16"):
        want = logits(directory, dtype=dtype)
        directory.rename(tmp_path / "away")
        assert np.array_equal(logits(directory, dtype=dtype), want)
        (tmp_path / "away").rename(directory)


def test_an_encoder_and_its_folders(
    tiny_encoders: TinyEncoders, tmp_path: Path, cache: Path
) -> None:
    directory = tmp_path / "encoder"
    shutil.copytree(tiny_encoders.directory("dense", text=True), directory)
    texts = ["the king was old", "water"]

    def vectors() -> NDArray[np.float32]:
        with lapwing.load(directory, threads=1) as model:
            assert isinstance(model, EncoderModel)
            return model.embed(texts)

    want = vectors()
    shutil.rmtree(directory)
    assert np.array_equal(vectors(), want)
    assert want.shape == (2, 21)  # behind the dense module


def test_a_half_removed_directory_is_not_passed_over(directory: Path, cache: Path) -> None:
    """Someone is at work there: to answer from the store would hide it."""
    logits(directory)
    (directory / "model.safetensors").unlink()
    with pytest.raises(lapwing.LapwingError, match=r"safetensors"):
        logits(directory)


def test_what_it_cannot_serve_is_refused(directory: Path, cache: Path) -> None:
    logits(directory)
    path = store_in(cache)
    for dtype in ("f16", "bf16", "f32"):
        with pytest.raises(RequestError) as caught:
            logits(path, dtype=dtype)
        text = str(caught.value)
        for words in ("dtype", str(path), "int8", "int4", dtype):
            assert words in text
    shutil.rmtree(directory)
    with pytest.raises((RequestError, ModelNotFoundError), match="model"):
        logits(directory, dtype="f16")
    path.unlink()
    with pytest.raises(ModelNotFoundError):
        logits(directory)


def test_a_cache_nobody_can_look_into_holds_no_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPWING_CACHE", str(tmp_path / ("x" * 300)))
    assert shelf.stores() == []
    with pytest.raises(ModelNotFoundError, match="no such directory"):
        logits(tmp_path / "none")


def test_a_float_store_serves_its_dtype(directory: Path, cache: Path) -> None:
    want = logits(directory, dtype="f16")
    path = store_in(cache)
    assert np.array_equal(logits(path, dtype="f16"), want)
    for dtype in ("int8", "bf16"):
        with pytest.raises(RequestError, match=rf"is a store of f16; got {dtype}"):
            logits(path, dtype=dtype)


def test_base_planes_serve_int4_alone(directory: Path, cache: Path) -> None:
    want4, want8 = (logits(directory, dtype=dtype, store=False) for dtype in ("int4", "int8"))
    assert np.array_equal(logits(directory, dtype="int4", planes="base"), want4)
    path = store_in(cache)
    base_bytes = path.stat().st_size
    assert shelf.stores()[0].planes == "base"
    shutil.copytree(directory, directory.with_name("kept"))
    shutil.rmtree(directory)
    for name in (directory, path):
        with pytest.raises(RequestError) as caught:
            logits(name, dtype="int8")
        for words in ("dtype", str(path), "base planes", "int4", "int8"):
            assert words in str(caught.value)
        assert np.array_equal(logits(name, dtype="int4"), want4)
        with lapwing.load(name, dtype="int4", threads=1) as model:
            assert model.precisions == ("int4",)
    directory.with_name("kept").rename(directory)
    assert np.array_equal(logits(directory, dtype="int8"), want8)  # made anew, with both
    assert store_in(cache).stat().st_size > base_bytes
    assert shelf.stores()[0].planes == "both"
    inode = store_in(cache).stat().st_ino
    assert np.array_equal(logits(directory, dtype="int4", planes="base"), want4)
    assert store_in(cache).stat().st_ino == inode  # what has more serves, too


@pytest.mark.parametrize("arguments", [{"planes": "base"}, {"planes": "base", "dtype": "int8"}])
def test_base_planes_are_not_asked_to_serve_int8(
    arguments: dict[str, str], directory: Path, cache: Path
) -> None:
    with pytest.raises(RequestError, match=r"planes: base planes serve int4 alone; got dtype int8"):
        logits(directory, **arguments)


def test_a_hub_model_runs_from_its_store(
    tmp_path: Path, cache: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, with the hub out of reach; a revision is that of the store."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repo, commit = tmp_path / "hub" / "models--org--small", "c" * 40
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.copytree(directory, repo / "snapshots" / commit)
    want = logits("org/small")
    assert store_in(cache).name.startswith("org--small.")
    shutil.rmtree(repo)
    for name in ("org/small", "org/small@main", f"org/small@{commit}"):
        assert np.array_equal(logits(name), want), name
    for name in ("org/small@v2", f"org/small@{'d' * 40}", "org/other"):
        with pytest.raises(ModelNotFoundError):
            logits(name)
    with lapwing.load("org/small", threads=1) as model:
        assert StoreFile(store_in(cache)).contents.source["name"] == "org/small"
        assert "Once" in model.tokenizer.decode(model.tokenizer.encode("Once"))
