"""A conversation is a generation from what its template writes, and ends where a turn ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chats import TEMPLATES, WEATHER, copy_without_template, write_chat_model
from loading import TinyEncoders, TinyModels

import lapwing
from lapwing import Model, RequestError, TokenizerError
from lapwing.engine.causal import DEFAULT_CHAT_TOKENS

HELLO = [{"role": "user", "content": "Hello"}]
FREE = {"temperature": 1.0, "seed": 7, "ignore_eos": True}  # a random model repeats itself


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No id that ends a text is named in its config."""
    path = tmp_path_factory.mktemp("chat") / "model"
    return write_chat_model(path, extra_config={"eos_token_id": None})


@pytest.fixture(scope="module")
def model(directory: Path) -> Iterator[Model]:
    with lapwing.load(directory, dtype="f32") as model:
        yield model


def with_template(directory: Path, source: object, path: Path) -> Model:
    copy_without_template(directory, path)
    config = path / "tokenizer_config.json"
    settings = json.loads(config.read_text()) | {"chat_template": source}
    config.write_text(json.dumps(settings))
    return lapwing.load(path, dtype="f32")


def test_it_is_generation_from_the_templates_text(model: Model) -> None:
    text = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    ids = model.tokenizer.encode(text, add_special_tokens=False)
    chatted = model.chat(HELLO, max_tokens=20, **FREE)
    generated = model.generate(ids, max_tokens=20, **FREE)
    assert chatted.text == generated.text
    assert chatted.tokens == generated.tokens
    assert chatted.prompt_tokens == len(ids)
    assert len(model.tokenizer.encode(text)) == len(ids) + 1  # with the post-processor's <s>
    assert chatted.timings.ttft_s is not None


def test_a_stream_is_the_same_in_pieces(model: Model) -> None:
    stream = model.chat_stream(HELLO, max_new_tokens=20, **FREE)
    pieces = [chunk.text for chunk in stream]
    assert len(pieces) > 5
    assert "".join(pieces) == stream.result.text == model.chat(HELLO, max_tokens=20, **FREE).text


def test_the_tokenizers_end_token_ends_a_turn(model: Model) -> None:
    """Many fine-tuned checkpoints name it in tokenizer_config.json alone."""
    assert not model.eos_token_ids
    end = model.tokenizer.raw.token_to_id("</s>")
    bias = {end: 100.0}
    ended = model.chat(HELLO, logit_bias=bias)
    assert (ended.tokens, ended.text, ended.finish_reason) == ([end], "", "stop")
    prompt = model.chat_template.render(HELLO)
    assert model.generate(prompt, logit_bias=bias, max_tokens=3).finish_reason == "length"
    on = model.chat(HELLO, logit_bias=bias, max_tokens=3, ignore_eos=True)
    assert (on.tokens, on.finish_reason) == ([end] * 3, "length")
    other = model.chat(HELLO, logit_bias={5: 100.0}, stop_token_ids=[5])
    assert (other.tokens, other.finish_reason) == ([5], "stop")


def test_how_long_an_answer_is(model: Model, tmp_path: Path) -> None:
    """1024 tokens, or what fits."""
    with lapwing.load(write_chat_model(tmp_path, n_positions=1100), dtype="f32") as longer:
        assert len(longer.chat(HELLO, **FREE).tokens) == DEFAULT_CHAT_TOKENS == 1024
    prompt_tokens = model.chat(HELLO, max_tokens=1, **FREE).prompt_tokens
    assert len(model.chat(HELLO, **FREE).tokens) == 256 - prompt_tokens
    cache = model.kv_cache(prompt_tokens + 5)
    assert len(model.chat(HELLO, cache=cache, **FREE).tokens) == 5
    with pytest.raises(RequestError, match="prompt has 912 tokens; the model's context is 256"):
        model.chat([{"role": "user", "content": "Hello " * 300}])


def test_tools_variables_and_named_templates_reach_the_template(
    directory: Path, tmp_path: Path
) -> None:
    named = [
        {"name": "default", "template": TEMPLATES["tools"]},
        {"name": "short", "template": "{{ messages[0].content }}"},
    ]
    with with_template(directory, named, tmp_path / "model") as model:
        for arguments in (
            {"tools": [WEATHER]},
            {"template_variables": {"enable_thinking": False}},
            {"template": "short"},
        ):
            variables: dict[str, Any] = {**arguments}
            variables |= variables.pop("template_variables", {})
            text = model.chat_template.render(HELLO, **variables)
            ids = model.tokenizer.encode(text, add_special_tokens=False)
            expected = model.generate(ids, max_tokens=5, **FREE)
            result = model.chat(HELLO, max_tokens=5, **FREE, **arguments)
            assert (result.tokens, result.prompt_tokens) == (expected.tokens, len(ids))
        with pytest.raises(RequestError, match="template_variables: 'tools' cannot be one"):
            model.chat(HELLO, template_variables={"tools": []})
        with pytest.raises(RequestError, match="no chat template 'long'; it has default, short"):
            model.chat(HELLO, template="long")


def test_a_cache_serves_every_turn(model: Model) -> None:
    """Of a turn only what the cache lacks is computed, and the answer is the same."""
    cache, messages = model.kv_cache(), list(HELLO)
    held = 0
    for turn in range(3):
        answer = model.chat(messages, cache=cache, max_tokens=8, **FREE)
        assert answer.tokens == model.chat(messages, max_tokens=8, **FREE).tokens
        timings = answer.timings
        assert timings.prefill_tps is not None
        computed = round(timings.prefill_tps * timings.prefill_s)
        assert computed <= answer.prompt_tokens - held
        held = answer.prompt_tokens
        messages += [
            {"role": "assistant", "content": answer.text},
            {"role": "user", "content": f"Again, for the {turn}th time"},
        ]
    assert len(cache.tokens) == cache.length > held


def test_a_cache_that_does_not_serve(model: Model, tiny_models: TinyModels) -> None:
    with pytest.raises(RequestError, match="cache: it was made for"):
        model.chat(HELLO, cache=tiny_models.load("odd").kv_cache())
    with pytest.raises(
        RequestError, match=r"cache: the conversation \(\d+ tokens\) and its answer"
    ):
        model.chat(HELLO, cache=model.kv_cache(8))
    with pytest.raises(RequestError, match=r"its answer \(30\) exceed its 40 positions"):
        model.chat(HELLO, cache=model.kv_cache(40), max_tokens=30)


def test_a_model_without_a_template_says_so(directory: Path, tmp_path: Path) -> None:
    path = copy_without_template(directory, tmp_path / "model")
    with lapwing.load(path, dtype="f32") as model:
        for verb in (model.chat, model.chat_stream):
            with pytest.raises(
                RequestError,
                match=r"^chat: .*/model has no chat template \(looked for .*\): it was not trained "
                r"to converse\. Continue a prompt of your own \(generate",
            ):
                verb(HELLO)
        model.generate("Hello", max_tokens=1)


def test_a_broken_template_is_an_error_of_chat_alone(directory: Path, tmp_path: Path) -> None:
    with with_template(directory, "{% if %}", tmp_path / "model") as model:
        assert model.generate("Hello", max_tokens=1).tokens
        with pytest.raises(TokenizerError, match="its chat template cannot be compiled"):
            model.chat(HELLO)


def test_mistakes_are_told_before_anything_is_computed(model: Model) -> None:
    with pytest.raises(RequestError, match="messages: expected at least one"):
        model.chat([])
    with pytest.raises(RequestError, match="unknown argument 'temprature'"):
        model.chat(HELLO, temprature=1)
    with pytest.raises(RequestError, match="template_variables: expected a dict, got list"):
        model.chat(HELLO, template_variables=["x"])


def test_encoders_do_not_chat(tiny_encoders: TinyEncoders) -> None:
    encoder = tiny_encoders.load("fill_bert", text=True)
    for verb in ("chat", "chat_stream"):
        with pytest.raises(RequestError, match=f"{verb}: .* is a text encoder .*embed, fill_mask"):
            getattr(encoder, verb)(HELLO)


def test_a_closed_model(directory: Path) -> None:
    model = lapwing.load(directory, dtype="f32")
    model.close()
    with pytest.raises(RequestError, match="the model is closed"):
        model.chat(HELLO)
