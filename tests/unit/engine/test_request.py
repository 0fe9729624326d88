"""What a caller asks of a generation: both spellings, and refusals."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lapwing import RequestError
from lapwing.engine.request import GenerationRequest


def of(**arguments: Any) -> GenerationRequest:
    return GenerationRequest.of(arguments)


def test_defaults() -> None:
    """None of them changes a logit; greedy, and as long as there is room for."""
    request = of()
    assert request == GenerationRequest(
        repetition_penalty=1.0,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        logit_bias={},
        temperature=0.0,
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        typical_p=1.0,
        seed=None,
        max_tokens=None,
        stop=(),
        stop_token_ids=frozenset(),
        ignore_eos=False,
        logprobs=None,
        dtype=None,
    )
    assert hash(request) == hash(of(logit_bias=None, stop=None, stop_token_ids=None))


def test_hugging_face_spellings() -> None:
    theirs = of(max_new_tokens=5, torch_dtype="int4", stop_strings=["a", "b"])
    assert theirs == of(max_tokens=5, dtype="int4", stop=("a", "b"))


def test_do_sample() -> None:
    """As transformers has it: without it the temperature is not used, with it the default is 1."""
    assert of(do_sample=False, temperature=0.7).temperature == 0
    assert of(do_sample=True, temperature=0.7).temperature == 0.7
    assert of(do_sample=True).temperature == 1


def test_numbers_of_any_kind() -> None:
    theirs = of(
        temperature=np.float32(0.5),
        top_k=np.int64(3),
        top_p=Fraction(1, 2),
        min_p=np.float16(0.25),
        typical_p=1,
        repetition_penalty=2,
        presence_penalty=np.float64(-2.0),
        frequency_penalty=np.int8(2),
        logit_bias={np.int32(5): np.float32(-100), 7: np.float64(-math.inf), 9: 100},
        seed=np.uint64(2**63),
        max_tokens=np.int16(7),
        logprobs=np.uint8(0),
        stop_token_ids=np.array([3, 4]),
        ignore_eos=np.bool_(True),
    )
    ours = of(
        temperature=0.5,
        top_k=3,
        top_p=0.5,
        min_p=0.25,
        typical_p=1.0,
        repetition_penalty=2.0,
        presence_penalty=-2.0,
        frequency_penalty=2.0,
        logit_bias={5: -100.0, 7: -math.inf, 9: 100.0},
        seed=2**63,
        max_tokens=7,
        logprobs=0,
        stop_token_ids=[3, 4],
        ignore_eos=True,
    )
    assert theirs == ours
    for name in theirs.__dataclass_fields__:
        assert type(getattr(theirs, name)) is type(getattr(ours, name)), name


def test_the_callers_bias_may_change_afterwards() -> None:
    bias = {1: 2.0}
    request = of(logit_bias=bias)
    bias[1] = 3.0
    assert request.logit_bias == {1: 2.0}


def test_stop_tokens_are_one_id_or_several() -> None:
    assert of(stop_token_ids=5).stop_token_ids == {5}
    assert of(stop_token_ids=(5, 6, 5)).stop_token_ids == {5, 6}
    assert of(stop_token_ids=[]).stop_token_ids == frozenset()


def test_stop_is_one_string_or_several() -> None:
    assert of(stop="x").stop == ("x",)
    assert of(stop=["x", "yz"]).stop == ("x", "yz")
    assert of(stop=None).stop == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_tokens": 1, "max_new_tokens": 1}, "'max_tokens' is given twice"),
        ({"dtype": "int4", "torch_dtype": "int4"}, "'dtype' is given twice"),
        ({"num_beams": 3}, "unknown argument 'num_beams'; expected some of repetition_penalty, "),
        ({"max_tokens": 0}, "max_tokens: expected a whole number ≥ 1, got 0"),
        ({"max_tokens": -1}, "max_tokens: expected a whole number ≥ 1, got -1"),
        ({"max_tokens": 1.5}, "max_tokens: expected a whole number ≥ 1, got 1.5"),
        ({"max_tokens": True}, "max_tokens: expected a whole number ≥ 1, got True"),
        ({"max_tokens": "9"}, "max_tokens: expected a whole number ≥ 1, got '9'"),
        ({"seed": -1}, "seed: expected a whole number ≥ 0, got -1"),
        ({"seed": "x"}, "seed: expected a whole number ≥ 0, got 'x'"),
        ({"temperature": -1}, "temperature: expected a finite number ≥ 0, got -1"),
        ({"temperature": "warm"}, "temperature: expected a number ≥ 0, got 'warm'"),
        ({"stop": ""}, "stop: expected non-empty strings, got ''"),
        ({"stop": ["a", ""]}, "stop: expected non-empty strings, got ''"),
        ({"stop": ["a", 3]}, "stop: expected non-empty strings, got 3"),
        ({"stop": 5}, "stop: expected non-empty strings, got 5"),
        ({"stop_token_ids": "5"}, "stop_token_ids: expected a whole number ≥ 0, got '5'"),
        ({"stop_token_ids": [1, -1]}, "stop_token_ids: expected a whole number ≥ 0, got -1"),
        ({"stop_token_ids": [1.0]}, "stop_token_ids: expected a whole number ≥ 0, got 1.0"),
        ({"stop_token_ids": {3: 1}}, "stop_token_ids: expected a whole number ≥ 0, got {3: 1}"),
        ({"ignore_eos": 1}, "ignore_eos: expected True or False, got 1"),
        ({"ignore_eos": "yes"}, "ignore_eos: expected True or False, got 'yes'"),
        ({"do_sample": "no"}, "do_sample: expected True or False, got 'no'"),
        ({"logprobs": -1}, "logprobs: expected a whole number ≥ 0, got -1"),
        ({"logprobs": True}, "logprobs: expected a whole number ≥ 0, got True"),
        ({"top_k": -1}, "top_k: expected a whole number ≥ 0, got -1"),
        ({"top_k": 2.5}, "top_k: expected a whole number ≥ 0, got 2.5"),
        ({"top_k": None}, "top_k: expected a whole number ≥ 0, got None"),
        ({"repetition_penalty": 0}, "repetition_penalty: expected a finite number > 0, got 0"),
        ({"repetition_penalty": -2}, "repetition_penalty: expected a finite number > 0, got -2"),
        ({"repetition_penalty": "2"}, "repetition_penalty: expected a number > 0, got '2'"),
        ({"logit_bias": [(1, 2)]}, "logit_bias: expected {token id: number}, got [(1, 2)]"),
        ({"logit_bias": {"5": 1}}, "logit_bias: token id: expected a whole number ≥ 0, got '5'"),
        ({"logit_bias": {-1: 1}}, "logit_bias: token id: expected a whole number ≥ 0, got -1"),
        ({"logit_bias": {5: 101}}, "logit_bias[5]: expected a finite number from -100 to 100, "),
        ({"logit_bias": {5: math.inf}}, "logit_bias[5]: expected a finite number from -100"),
        ({"logit_bias": {5: math.nan}}, "logit_bias[5]: expected a finite number from -100"),
        ({"logit_bias": {5: "1"}}, "logit_bias[5]: expected a number from -100 to 100, got '1'"),
        ({"logit_bias": {5: None}}, "logit_bias[5]: expected a number from -100 to 100, got None"),
    ],
)
def test_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        GenerationRequest.of(arguments)
    assert str(caught.value).startswith(message)


RANGES = {
    "temperature": (0, None),
    "repetition_penalty": (5e-324, None),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "typical_p": (0, 1),
}


@pytest.mark.parametrize("name", RANGES)
def test_ranges(name: str) -> None:
    """The ends are inside; what is beyond, not finite, or no number is outside."""
    least, most = RANGES[name]
    for value in (least, 1e308 if most is None else most):
        assert getattr(of(**{name: value}), name) == value
    beyond = [least - 1e-9] + ([] if most is None else [most + 1e-9])
    nothing = [math.nan, math.inf, -math.inf, np.float32("nan"), 10**400, None, True, "1", [1], 1j]
    for value in beyond + nothing:
        with pytest.raises(RequestError, match=f"^{name}: expected a .*number "):
            of(**{name: value})


def test_vocabulary() -> None:
    of(logit_bias={96: 1}, stop_token_ids=96, logprobs=97).check_vocabulary(97)
    for how, message in (
        ({"logit_bias": {5: 1, 97: 1}}, "logit_bias: 97 is outside the vocabulary [0, 97)"),
        ({"stop_token_ids": [5, 99]}, "stop_token_ids: 99 is outside the vocabulary [0, 97)"),
        ({"logprobs": 98}, "logprobs: expected at most the vocabulary's 97 tokens, got 98"),
    ):
        with pytest.raises(RequestError) as caught:
            of(**how).check_vocabulary(97)
        assert str(caught.value) == message


def test_room() -> None:
    assert of().room(10, 1024) == 128
    assert of().room(1000, 1024) == 24
    assert of(max_tokens=24).room(1000, 1024) == 24
    with pytest.raises(RequestError, match=r"prompt \(1000\) \+ max_tokens \(25\) = 1025 .* 1024"):
        of(max_tokens=25).room(1000, 1024)
    with pytest.raises(RequestError, match="prompt has 1024 tokens; the model's context is 1024"):
        of().room(1024, 1024)
