"""What a caller asks of a generation: both spellings, and refusals."""

from __future__ import annotations

from typing import Any

import pytest

from lapwing import RequestError
from lapwing.engine.request import GenerationRequest


def of(**arguments: Any) -> GenerationRequest:
    return GenerationRequest.of(arguments)


def test_defaults() -> None:
    request = of()
    assert request == GenerationRequest(None, 0.0, None, (), None, False)


def test_hugging_face_spellings() -> None:
    theirs = of(max_new_tokens=5, torch_dtype="int4", stop_strings=["a", "b"])
    assert theirs == of(max_tokens=5, dtype="int4", stop=("a", "b"))


def test_do_sample() -> None:
    """As transformers has it: without it the temperature is not used, with it the default is 1."""
    assert of(do_sample=False, temperature=0.7).temperature == 0
    assert of(do_sample=True, temperature=0.7).temperature == 0.7
    assert of(do_sample=True).temperature == 1


def test_stop_is_one_string_or_several() -> None:
    assert of(stop="x").stop == ("x",)
    assert of(stop=["x", "yz"]).stop == ("x", "yz")
    assert of(stop=None).stop == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_tokens": 1, "max_new_tokens": 1}, "'max_tokens' is given twice"),
        ({"dtype": "int4", "torch_dtype": "int4"}, "'dtype' is given twice"),
        ({"top_k": 3}, "unknown argument 'top_k'; expected some of max_tokens, temperature"),
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
    ],
)
def test_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        GenerationRequest.of(arguments)
    assert str(caught.value).startswith(message)


def test_room() -> None:
    assert of().room(10, 1024) == 128
    assert of().room(1000, 1024) == 24
    assert of(max_tokens=24).room(1000, 1024) == 24
    with pytest.raises(RequestError, match=r"prompt \(1000\) \+ max_tokens \(25\) = 1025 .* 1024"):
        of(max_tokens=25).room(1000, 1024)
    with pytest.raises(RequestError, match="prompt has 1024 tokens; the model's context is 1024"):
        of().room(1024, 1024)
