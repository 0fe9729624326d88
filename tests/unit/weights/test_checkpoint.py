"""Model directories: whole, in shards, and broken in every way that has a message."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapwing.errors import ConfigError, WeightsError
from lapwing.weights.checkpoint import Checkpoint, read_config
from lapwing.weights.hub import bundled_models
from lapwing.weights.jsonfile import read_json_object
from lapwing.weights.shards import read_shard_index

INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def save(path: Path, names: Iterable[str]) -> None:
    """Two bytes for each name: its first character, twice."""
    header, data = {}, b""
    for name in names:
        header[name] = {"dtype": "U8", "shape": [2], "data_offsets": [len(data), len(data) + 2]}
        data += name[0].encode() * 2
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def model(directory: Path, files: dict[str, Iterable[str]], index: object = None) -> Path:
    (directory / "config.json").write_text('{"model_type": "gpt2"}')
    for file, names in files.items():
        save(directory / file, names)
    if index is not None:
        (directory / INDEX).write_text(json.dumps(index))
    return directory


def sharded(directory: Path, weight_map: object = None) -> Path:
    weight_map = weight_map or {"a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[1]}
    return model(directory, {SHARDS[0]: "ab", SHARDS[1]: "c"}, {"weight_map": weight_map})


def refusal(directory: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        Checkpoint(directory)
    return str(caught.value)


def test_the_bundled_model_is_known_and_not_read() -> None:
    directory = bundled_models()["tales"]
    with Checkpoint(directory) as checkpoint:
        assert checkpoint.config["model_type"] == "gpt2"
        assert checkpoint.generation_config["eos_token_id"] == 0
        wte = checkpoint.tensors["transformer.wte.weight"]
        assert (wte.dtype, wte.shape, wte.nbytes) == ("F16", (2048, 256), 2048 * 256 * 2)
        loaded = [wte.loaded]
        assert np.isfinite(wte.get().astype(np.float32)).all()
        loaded.append(wte.loaded)
        wte.release()
        loaded.append(wte.loaded)
        assert loaded == [False, True, False]
        assert checkpoint.nbytes < (directory / "model.safetensors").stat().st_size
    with pytest.raises(WeightsError, match=r"'transformer\.wte\.weight' was asked for after"):
        wte.get()


def test_shards_are_one_checkpoint(tmp_path: Path) -> None:
    checkpoint = Checkpoint(sharded(tmp_path))
    assert {name: t.file.name for name, t in checkpoint.tensors.items()} == {
        "a": SHARDS[0],
        "b": SHARDS[0],
        "c": SHARDS[1],
    }
    assert checkpoint.tensors["c"].get().tobytes() == b"cc"
    assert checkpoint.generation_config == {}


def test_a_single_file_goes_before_shards(tmp_path: Path) -> None:
    sharded(tmp_path)
    save(tmp_path / "model.safetensors", "z")
    assert list(Checkpoint(tmp_path).tensors) == ["z"]


def test_the_only_safetensors_file_is_taken(tmp_path: Path) -> None:
    model(tmp_path, {"consolidated.safetensors": "a"})
    assert list(Checkpoint(tmp_path).tensors) == ["a"]
    save(tmp_path / "other.safetensors", "b")
    text = refusal(tmp_path)
    assert "several safetensors files (consolidated.safetensors, other.safetensors)" in text
    assert "Rename the right one to model.safetensors" in text


def test_no_weights_at_all(tmp_path: Path) -> None:
    text = refusal(model(tmp_path, {}))
    assert text == (
        f"{tmp_path}: no safetensors file. Expected model.safetensors, or {INDEX} with its shards; "
        "found config.json."
    )


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    model(tmp_path, {})
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    text = refusal(tmp_path)
    assert "the weights are only in pytorch_model.bin" in text
    assert "save_pretrained('converted')" in text


def test_all_missing_shards_are_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    for shard in SHARDS:
        (tmp_path / shard).unlink()
    text = refusal(tmp_path)
    assert f"{INDEX}: 2 of 2 shards are missing: {SHARDS[0]!r}, {SHARDS[1]!r}" in text


@pytest.mark.parametrize(
    "shard", ["../evil.safetensors", "/etc/evil.safetensors", "..", "a\\b.safetensors", "C:x"]
)
def test_an_index_may_not_leave_the_directory(tmp_path: Path, shard: str) -> None:
    text = refusal(sharded(tmp_path, {"a": shard}))
    assert f"{INDEX}: 'a' is in {shard!r}, outside the model's directory" in text


@pytest.mark.parametrize("shard", [INDEX, "other.safetensors.index.json", "config.json"])
def test_an_index_may_not_name_an_index(tmp_path: Path, shard: str) -> None:
    text = refusal(sharded(tmp_path, {"a": shard}))
    assert f"'a' is in {shard!r}, which is not a safetensors file" in text
    assert "neither itself nor another index" in text


def test_a_shard_that_is_itself_an_index(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / SHARDS[1]).write_text((tmp_path / INDEX).read_text())
    assert f"{SHARDS[1]}: the header claims" in refusal(tmp_path)


def test_a_tensor_that_its_shard_does_not_hold(tmp_path: Path) -> None:
    text = refusal(sharded(tmp_path, {"a": SHARDS[0], "c": SHARDS[1], "d": SHARDS[1]}))
    assert f"{INDEX}: 'd' should be in {SHARDS[1]}, which does not hold it" in text


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    sharded(tmp_path)
    save(tmp_path / SHARDS[1], "ca")
    assert f"'a' is in two shards, {SHARDS[0]} and {SHARDS[1]}" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({}, "expected 'weight_map', an object from tensor to shard; found nothing"),
        ({"weight_map": [1]}, "an object from tensor to shard; found a list"),
        ({"weight_map": {}}, "'weight_map' is empty"),
        ({"weight_map": {"a": 3}}, "'a' is in 3, expected the name of a shard"),
        ([], "expected a JSON object {…}, found a list"),
    ],
)
def test_a_broken_index(tmp_path: Path, index: object, expected: str) -> None:
    assert expected in refusal(model(tmp_path, {SHARDS[0]: "a"}, index))


def test_a_name_twice_in_the_index(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / INDEX).write_text(f'{{"weight_map": {{"a": "{SHARDS[0]}", "a": "{SHARDS[1]}"}}}}')
    assert "key 'a' appears twice" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "the file is empty"),
        (b'{"a": ', "not valid JSON: Expecting value: line 1 column 7"),
        (b"[]", "expected a JSON object {…}, found a list"),
        (b"null", "expected a JSON object {…}, found null"),
        ('{"a": "é"}'.encode("latin-1"), "not UTF-8 text (byte 7 is 0xe9)"),
        (b"\xef\xbb\xbf{}", "not valid JSON: Unexpected UTF-8 BOM"),
        ("{}".encode("utf-16"), "not UTF-8 text (byte 0 is 0xff)"),
        (b"[" * 100_000, "not valid JSON: nested too deeply"),
    ],
)
def test_a_broken_config(tmp_path: Path, raw: bytes, expected: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        Checkpoint(tmp_path)
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_a_config_that_is_missing_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json, so this is not a Hugging Face model"):
        Checkpoint(tmp_path)
    with pytest.raises(ConfigError, match="not a directory; expected a model directory"):
        Checkpoint(tmp_path / "absent")
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match="expected a JSON file, found a directory"):
        Checkpoint(tmp_path)


def test_a_broken_generation_config_is_named(tmp_path: Path) -> None:
    model(tmp_path, {"model.safetensors": "a"})
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"generation_config\.json: not valid JSON"):
        Checkpoint(tmp_path)


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    model(tmp_path, {})
    monkeypatch.setattr(Path, "read_bytes", forbid)
    with pytest.raises(ConfigError, match="no permission to read it"):
        read_config(tmp_path)


def test_an_enormous_config_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ConfigError, match="1073741824 bytes; such a file holds a few kilobytes"):
        read_json_object(path, ConfigError)


# --- chance -------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
documents = st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode())


@settings(max_examples=200, deadline=None)
@given(documents)
def test_any_bytes_are_a_config_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    (tmp_path_factory.getbasetemp() / "config.json").write_bytes(raw)
    try:
        config = read_config(tmp_path_factory.getbasetemp())
    except ConfigError as error:
        str(error).encode("utf-8")
    else:
        assert isinstance(config, dict)


shard_names = (
    st.sampled_from([*SHARDS, INDEX, "..", "../x.safetensors", "\0", "a" * 400]) | st.text()
)
indexes = documents | st.dictionaries(st.text(), shard_names | json_values, max_size=4).map(
    lambda weight_map: json.dumps({"weight_map": weight_map}).encode()
)


@settings(max_examples=200, deadline=None)
@given(indexes)
def test_any_bytes_are_a_shard_index_or_a_weights_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / SHARDS[0]).touch()
    (directory / INDEX).write_bytes(raw)
    try:
        shard_of = read_shard_index(directory / INDEX)
    except WeightsError as error:
        str(error).encode("utf-8")
    else:
        assert set(shard_of.values()) == {SHARDS[0]}
