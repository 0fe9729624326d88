"""What a caller asks of a generation, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lapwing.engine import sampling
from lapwing.engine.checks import flag, strings, token_ids, whole, within
from lapwing.errors import RequestError

DEFAULT_MAX_TOKENS = 128

# Hugging Face's spellings of the same wishes.
SPELLINGS = {"max_new_tokens": "max_tokens", "torch_dtype": "dtype", "stop_strings": "stop"}

# Field of GenerationRequest → how a caller's value is checked; of dtype, by the model.
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **sampling.CHECKS,
    "max_tokens": lambda name, value: None if value is None else whole(name, value, 1),
    "stop": strings,
    "stop_token_ids": token_ids,
    "ignore_eos": flag,
    "logprobs": lambda name, value: None if value is None else whole(name, value, 0),
}


def canonical(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments with Hugging Face's spellings replaced by ours."""
    result: dict[str, Any] = {}
    for key, value in arguments.items():
        name = SPELLINGS.get(key, key)
        if name in result:
            raise RequestError(f"{name!r} is given twice, once as {key!r}")
        result[name] = value
    return result


@dataclass(frozen=True, kw_only=True)
class GenerationRequest(sampling.Sampling):
    """One continuation; how its tokens are drawn is described in Sampling.

    max_tokens: None takes 128, or what the context has room for if that is less; a number that does
    not fit is refused. stop: strings that the text ends before. stop_token_ids: tokens that end it
    besides the model's own, which ignore_eos makes tokens like any other. logprobs: None for none,
    0 for those of the tokens, n for those of the n likeliest in each place, too. dtype: precision
    of the passes, if not the model's.
    """

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: frozenset[int] = frozenset()
    ignore_eos: bool = False
    logprobs: int | None = None
    dtype: str | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> GenerationRequest:
        """From keyword arguments, Hugging Face's spellings included. Raises RequestError."""
        values = canonical(arguments)
        if "do_sample" in values:
            if not flag("do_sample", values.pop("do_sample")):
                values["temperature"] = 0.0
            values.setdefault("temperature", 1.0)  # as transformers has it
        known = cls.__dataclass_fields__.keys()
        unknown = [key for key in values if key not in known]
        if unknown:
            raise RequestError(
                f"unknown argument {unknown[0]!r}; expected some of {', '.join(known)}"
            )
        for key, check in CHECKS.items():
            if key in values:
                values[key] = check(key, values[key])
        return cls(**values)

    def check_vocabulary(self, V: int) -> None:
        """Raises RequestError for tokens that a vocabulary of V has not."""
        within("logit_bias", self.logit_bias, V)
        within("stop_token_ids", self.stop_token_ids, V)
        if self.logprobs is not None and self.logprobs > V:
            raise RequestError(
                f"logprobs: expected at most the vocabulary's {V} tokens, got {self.logprobs}"
            )

    def room(self, prompt_tokens: int, context_length: int) -> int:
        """Tokens to make at most. Raises RequestError with the numbers where they do not fit."""
        room = context_length - prompt_tokens
        if room < 1:
            raise RequestError(
                f"the prompt has {prompt_tokens} tokens; the model's context is {context_length}, "
                "which leaves no room for an answer. Shorten the prompt."
            )
        if self.max_tokens is None:
            return min(DEFAULT_MAX_TOKENS, room)
        if self.max_tokens > room:
            raise RequestError(
                f"prompt ({prompt_tokens}) + max_tokens ({self.max_tokens}) = "
                f"{prompt_tokens + self.max_tokens} tokens exceed the model's context of "
                f"{context_length}. Ask for at most {room}."
            )
        return self.max_tokens
