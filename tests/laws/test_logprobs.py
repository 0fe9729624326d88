"""Log-probabilities are the model's own, whatever the sampler makes of them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from loading import TinyModels, needs_core
from tiny import random_ids
from tolerances import LOGPROB

from lapwing import Model

pytestmark = needs_core  # NumPy's products may differ with the number of rows

V = 2048
PROMPT = random_ids(11, 6, V)
SAMPLED = {
    "temperature": 1.3,
    "top_k": 400,
    "top_p": 0.95,
    "repetition_penalty": 1.2,
    "presence_penalty": 0.5,
    "logit_bias": {5: 3.0, 9: -math.inf},
    "seed": 6,
}


@pytest.fixture
def model(tiny_models: TinyModels) -> Model:
    return tiny_models.load("base", "int8", text=True)


def log_softmax(model: Model, tokens: list[int]) -> npt.NDArray[np.float64]:
    """[tokens, V], of the logits that each token of an answer to PROMPT was drawn from."""
    rows = model.forward(PROMPT + tokens)[len(PROMPT) - 1 : -1].astype(np.float64)
    return rows - np.logaddexp.reduce(rows, -1, keepdims=True)


@pytest.mark.parametrize("how", [{}, SAMPLED], ids=["greedy", "sampled"])
def test_they_are_the_log_softmax_of_forward(model: Model, how: dict[str, Any]) -> None:
    """Before penalties, bias, temperature and filters: as OpenAI and vLLM report them."""
    result = model.generate(PROMPT, max_tokens=20, ignore_eos=True, logprobs=5, **how)
    want = log_softmax(model, result.tokens)
    assert result.logprobs is not None
    assert [entry.token_id for entry in result.logprobs] == result.tokens
    for entry, row in zip(result.logprobs, want, strict=True):
        assert entry.logprob == pytest.approx(row[entry.token_id], abs=LOGPROB)
        best = np.argsort(-row, kind="stable")[:5]
        assert [other.token_id for other in entry.top] == best.tolist()
        got = [other.logprob for other in entry.top]
        np.testing.assert_allclose(got, row[best], rtol=0, atol=LOGPROB)
        if not how:  # greedy takes the first of them
            assert entry.top[0].token_id == entry.token_id
            assert entry.top[0].logprob == entry.logprob


def test_all_of_them_sum_to_one(model: Model) -> None:
    result = model.generate(PROMPT, max_tokens=3, ignore_eos=True, logprobs=V, **SAMPLED)
    assert result.logprobs is not None
    for entry in result.logprobs:
        assert sorted(other.token_id for other in entry.top) == list(range(V))
        assert math.fsum(math.exp(o.logprob) for o in entry.top) == pytest.approx(1, abs=LOGPROB)
        assert {o.token_id: o.logprob for o in entry.top}[entry.token_id] == entry.logprob


def test_asking_changes_nothing_else(model: Model) -> None:
    how = {"max_tokens": 15, "ignore_eos": True, **SAMPLED}
    without = model.generate(PROMPT, **how)
    assert without.logprobs is None
    for count in (0, 1, 7):
        result = model.generate(PROMPT, logprobs=count, **how)
        assert (result.tokens, result.text) == (without.tokens, without.text)
        assert result.logprobs is not None
        assert [len(entry.top) for entry in result.logprobs] == [count] * 15


def test_pieces_bring_the_logprobs_of_their_tokens(model: Model) -> None:
    """A piece that completes a character, or a stop string that was none, brings several."""
    for seed in range(8):
        how = {"max_tokens": 25, "temperature": 1.0, "seed": seed, "ignore_eos": True}
        stream = model.stream(PROMPT, logprobs=2, stop=["e\0"], **how)
        chunks = list(stream)
        told = [entry for chunk in chunks for entry in chunk.logprobs or ()]
        assert all(chunk.logprobs is not None for chunk in chunks)
        result = stream.result
        assert result.logprobs is not None
        assert told == result.logprobs[: len(told)]
        assert all(
            chunk.token == chunk.logprobs[-1].token_id
            for chunk in chunks
            if chunk.token is not None and chunk.logprobs
        )
        untold = [entry.token_id for entry in result.logprobs[len(told) :]]
        assert model.tokenizer.decode(untold) == ""
    assert all(chunk.logprobs is None for chunk in model.stream(PROMPT, max_tokens=3))


def test_texts_of_tokens(model: Model) -> None:
    """Whole characters joined are the text; an end of text is spelt, though it is none."""
    text = "Once upon a time, a wolf met a lamb."
    ids = model.tokenizer.encode(text)
    bias = [{"logit_bias": {token: 100}, "max_tokens": 1, "ignore_eos": True} for token in ids]
    results = model.batch_generate([PROMPT] * len(ids), bias, logprobs=0)
    assert [result.tokens for result in results] == [[token] for token in ids]
    entries = [entry for result in results for entry in result.logprobs or ()]
    assert "".join(entry.token for entry in entries) == text
    (end,) = model.generate(PROMPT, logit_bias={0: 100}, logprobs=0).logprobs or ()
    assert (end.token_id, end.token) == (0, model.tokenizer.raw.id_to_token(0))


def test_without_a_tokenizer(tiny_models: TinyModels) -> None:
    model = tiny_models.load("odd", "int8")
    result = model.generate([1, 2], max_tokens=4, ignore_eos=True, logprobs=2)
    assert result.logprobs is not None
    assert [entry.token_id for entry in result.logprobs] == result.tokens
    assert {entry.token for entry in result.logprobs} == {""}


def test_as_json(model: Model) -> None:
    result = model.generate(PROMPT, max_tokens=2, ignore_eos=True, logprobs=1)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))["logprobs"]
    assert result.logprobs is not None
    first = result.logprobs[0]
    assert plain[0] == {
        "token_id": first.token_id,
        "token": first.token,
        "logprob": first.logprob,
        "top": [
            {"token_id": first.token_id, "token": first.token, "logprob": first.logprob},
        ],
    }
    assert len(plain) == 2
