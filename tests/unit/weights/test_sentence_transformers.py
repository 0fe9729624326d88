"""Modules of a sentence-transformers directory: read, or refused by file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_sentences import write_sentence_model

import lapwing
from lapwing import ConfigError
from lapwing.weights.sentence_transformers import SentenceModules, read_sentence_modules


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return write_sentence_model(tmp_path / "model", seed=1, dense="Tanh")


def change(path: Path, **keys: Any) -> None:
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, **keys}))


def replace_module(directory: Path, position: int, **keys: Any) -> None:
    path = directory / "modules.json"
    modules = json.loads(path.read_text())
    modules[position] |= keys
    path.write_text(json.dumps(modules))


def refusal(directory: Path) -> str:
    """Of `load`, which reads no weight before it."""
    with pytest.raises(ConfigError) as caught:
        lapwing.load(directory)
    return str(caught.value)


def test_what_is_read(made: Path) -> None:
    modules = read_sentence_modules(made)
    assert modules.pooling == ("mean",)
    assert modules.normalize
    assert (modules.max_seq_length, modules.do_lower_case) == (16, False)
    (dense,) = modules.dense
    assert (dense.folder, dense.in_features, dense.out_features) == ("2_Dense", 32, 21)
    assert (dense.bias, dense.activation) == (True, "tanh")


def test_a_plain_directory_takes_the_mean(tmp_path: Path) -> None:
    assert read_sentence_modules(tmp_path) == SentenceModules(found=False, pooling=("mean",))


def test_the_newer_key_for_one_mode(made: Path) -> None:
    (made / "1_Pooling/config.json").write_text('{"pooling_mode": "cls"}')
    assert read_sentence_modules(made).pooling == ("cls",)


def test_several_modes_are_joined_in_one_order(made: Path) -> None:
    keys = ("mean_tokens", "cls_token", "mean_sqrt_len_tokens", "max_tokens", "lasttoken")
    config = {f"pooling_mode_{key}": True for key in keys}
    (made / "1_Pooling/config.json").write_text(json.dumps(config))
    expected = ("cls", "max", "mean", "mean_sqrt_len", "lasttoken")
    assert read_sentence_modules(made).pooling == expected


def test_prompts(tmp_path: Path) -> None:
    made = write_sentence_model(tmp_path / "model", seed=1)
    prompts = {"query": "the king: ", "passage": "the queen: "}
    settings = made / "config_sentence_transformers.json"
    settings.write_text(json.dumps({"prompts": prompts, "default_prompt_name": None}))
    with lapwing.load(made) as model:
        asked = model.embed(["wolf"], prompt_name="query")
        assert (asked == model.embed(["the king: wolf"])).all()
        assert (model.embed(["wolf"]) != asked).any()
        with pytest.raises(lapwing.RequestError, match="expected one of query, passage; got 'x'"):
            model.embed(["wolf"], prompt_name="x")
    change(settings, default_prompt_name="query")
    with lapwing.load(made) as model:
        assert (model.embed(["wolf"]) == asked).all()


@pytest.mark.parametrize(
    ("file", "keys", "message"),
    [
        ("1_Pooling", {"pooling_mode_weightedmean_tokens": True}, "'weightedmean' is not support"),
        ("1_Pooling", {"pooling_mode": "attention"}, "'attention' is not supported; cls, max,"),
        ("1_Pooling", {"pooling_mode_mean_tokens": False}, "no pooling mode is true"),
        ("1_Pooling", {"include_prompt": False}, "'include_prompt': false is not supported"),
        ("2_Dense", {"activation_function": "torch.nn.Softmax"}, "expected one of Identity, Tanh"),
        ("2_Dense", {"in_features": 33}, "takes 33 features, but what comes before it gives 32"),
        ("2_Dense", {"in_features": None}, "expected 'in_features' and 'out_features'"),
        ("2_Dense", {"out_features": -1}, "'out_features': expected a whole number ≥ 1, got -1"),
    ],
)
def test_modules_that_are_not_supported(
    made: Path, file: str, keys: dict[str, Any], message: str
) -> None:
    change(made / file / "config.json", **keys)
    text = refusal(made)
    assert message in text
    assert str(made / file) in text


@pytest.mark.parametrize(
    ("position", "keys", "message"),
    [
        (0, {"path": "0_Transformer"}, "the encoder is in '0_Transformer', expected beside"),
        (1, {"path": "../elsewhere"}, "'path': expected a folder beside this file"),
        (1, {"path": "/etc"}, "'path': expected a folder beside this file"),
        (1, {"path": 3}, "'path': expected a folder beside this file"),
        (1, {"type": "sentence_transformers.models.LSTM"}, "module 1 is 'LSTM'; expected Transf"),
        (0, {"type": "sentence_transformers.models.CLIPModel"}, "module 0 is 'CLIPModel'"),
        (3, {"type": "sentence_transformers.models.Pooling"}, "module 3 is 'Pooling'"),
        (1, {"path": "gone"}, "config.json: no such file"),
    ],
)
def test_lists_that_are_not_supported(
    made: Path, position: int, keys: dict[str, Any], message: str
) -> None:
    replace_module(made, position, **keys)
    assert message in refusal(made)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "expected a JSON list of objects"),
        ("[3]", "expected a JSON list of objects"),
        ("[]", "no Pooling module"),
        ("[", "not valid JSON"),
        ('[{"type": "a.Transformer"}]', "no Pooling module"),
    ],
)
def test_damaged_lists(made: Path, content: str, message: str) -> None:
    (made / "modules.json").write_text(content)
    text = refusal(made)
    assert message in text
    assert str(made / "modules.json") in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts": ["a"]}, "expected 'prompts', names and texts"),
        ({"prompts": {"a": 3}}, "expected 'prompts', names and texts"),
        ({"prompts": {"a": "b"}, "default_prompt_name": "c"}, "'default_prompt_name' among them"),
    ],
)
def test_damaged_prompts(made: Path, settings: dict[str, Any], message: str) -> None:
    (made / "config_sentence_transformers.json").write_text(json.dumps(settings))
    assert message in refusal(made)


def test_limits(made: Path) -> None:
    change(made / "sentence_bert_config.json", max_seq_length=0)
    assert "'max_seq_length': expected a whole number ≥ 1, got 0" in refusal(made)
    change(made / "sentence_bert_config.json", max_seq_length=10**6)
    with lapwing.load(made) as model:
        (part,) = model.embed_stream(["wolf " * 90])
        assert part.token_counts == [model.context_length]


def test_dense_weights_must_be_there(made: Path) -> None:
    (made / "2_Dense/model.safetensors").unlink()
    with pytest.raises(lapwing.WeightsError, match="2_Dense: no safetensors file"):
        lapwing.load(made)
