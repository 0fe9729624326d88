"""Names of models that need no hub; those that do are in tests/e2e/test_hub.py."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lapwing.errors import ModelNotFoundError, RequestError
from lapwing.weights.files import NoWeightsError, choose_weights
from lapwing.weights.hub import bundled_models, locate, parse_hub_name
from lapwing.weights.hub_errors import explain


def test_the_bundled_model_has_its_name() -> None:
    assert locate("tales") == bundled_models()["tales"]


def test_a_directory_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tales").mkdir()
    (tmp_path / "a@b").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate("tales") == Path("tales")
    assert locate("a@b") == Path("a@b")
    assert locate(tmp_path) == tmp_path


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert locate("~/model") == tmp_path / "model"


@pytest.mark.parametrize(
    "name",
    ["./gone", "../gone", "/gone", "~/gone", "~nobody/gone", "gone/", "a/b/c", "a\\b", "C:x"],
)
def test_a_path_that_does_not_exist(name: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        locate(name)
    assert str(caught.value).startswith(f"{name}: no such directory (looked in ")
    assert "bundled models: tales; a hub id is written org/name" in str(caught.value)


@pytest.mark.parametrize("name", ["a b", "ü/x", "a/..", "-x", "a--b", "x" * 10_000 + "?", "a\0b"])
def test_a_name_that_can_be_nothing(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="neither a directory, nor a bundled model"):
        locate(name)


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(ModelNotFoundError, match="expected a model directory, found a file"):
        locate(path)


def test_an_empty_name() -> None:
    with pytest.raises(RequestError, match="name is empty"):
        locate("")


def test_a_directory_has_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="revision 'v1' was asked for, but this model is a dir"):
        locate(tmp_path, "v1")


def test_a_directory_of_pickles(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model-00001-of-00002.bin").touch()
    with pytest.raises(ModelNotFoundError) as caught:
        locate(tmp_path)
    assert "the weights are only in pytorch_model-00001-of-00002.bin" in str(caught.value)
    assert f"M.from_pretrained({str(tmp_path)!r}).save_pretrained('converted'" in str(caught.value)


def test_names_and_revisions() -> None:
    assert parse_hub_name("gpt2") == ("gpt2", "main")
    assert parse_hub_name("org/name@refs/pr/1") == ("org/name", "refs/pr/1")
    assert parse_hub_name("org/name", "v1") == parse_hub_name("org/name@v1") == ("org/name", "v1")
    assert parse_hub_name("org/name@v1", "v1") == ("org/name", "v1")
    with pytest.raises(RequestError, match=r"names revision 'v1', but revision='v2' is given"):
        parse_hub_name("org/name@v1", "v2")
    for revision in ("", "../x", "a b"):
        with pytest.raises(RequestError, match="cannot be a revision"):
            parse_hub_name(f"org/name@{revision}")


def test_which_files_hold_the_weights() -> None:
    index, shards = (
        "model.safetensors.index.json",
        [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)],
    )
    extra = ["README.md", "pytorch_model.bin", "onnx/model.safetensors", "model.fp16.safetensors"]
    assert choose_weights(["model.safetensors", index, *shards, *extra], "m") == [
        "model.safetensors"
    ]
    assert choose_weights([index, *shards, *extra], "m") == [index, *shards]
    assert choose_weights(["consolidated.safetensors", "README.md"], "m") == [
        "consolidated.safetensors"
    ]
    with pytest.raises(NoWeightsError, match="m: no safetensors file"):
        choose_weights(["onnx/model.safetensors"], "m")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full. Make room, or set HF_HOME"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x cannot be written"),
        (RuntimeError("odd\nthing"), "could not be reached, or the connection broke (odd thing)"),
        (RuntimeError(), "(RuntimeError)"),
    ],
)
def test_other_failures_of_a_download(error: Exception, expected: str) -> None:
    assert expected in str(explain(error, "org/name", "main"))
    assert str(explain(error, "org/name", "v1")).startswith("org/name")
