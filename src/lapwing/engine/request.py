"""What a caller asks of a generation, checked once."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lapwing.engine.sampling import check_temperature
from lapwing.errors import RequestError

DEFAULT_MAX_TOKENS = 128

# Hugging Face's spellings of the same wishes.
SPELLINGS = {"max_new_tokens": "max_tokens", "torch_dtype": "dtype", "stop_strings": "stop"}


def canonical(arguments: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments with Hugging Face's spellings replaced by ours."""
    result: dict[str, Any] = {}
    for key, value in arguments.items():
        name = SPELLINGS.get(key, key)
        if name in result:
            raise RequestError(f"{name!r} is given twice, once as {key!r}")
        result[name] = value
    return result


@dataclass(frozen=True)
class GenerationRequest:
    """One continuation.

    max_tokens: None takes 128, or what the context has room for if that is less; a number that does
    not fit is refused. temperature 0 is greedy. dtype: precision of the passes, if not the model's.
    """

    max_tokens: int | None = None
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = field(default=())
    dtype: str | None = None
    ignore_eos: bool = False

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> GenerationRequest:
        """From keyword arguments, Hugging Face's spellings included. Raises RequestError."""
        values = canonical(arguments)
        if "do_sample" in values:
            if not values.pop("do_sample"):
                values["temperature"] = 0.0
            values.setdefault("temperature", 1.0)  # as transformers has it
        known = cls.__dataclass_fields__.keys()
        unknown = [key for key in values if key not in known]
        if unknown:
            raise RequestError(
                f"unknown argument {unknown[0]!r}; expected some of {', '.join(known)}"
            )
        for key, least in (("max_tokens", 1), ("seed", 0)):
            if values.get(key) is not None:
                values[key] = _whole(key, values[key], least)
        values["temperature"] = check_temperature(values.get("temperature", 0.0))
        values["stop"] = _stops(values.get("stop", ()))
        return cls(**values)

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


def _whole(key: str, value: Any, least: int) -> int:
    """A whole number of any kind, NumPy's included."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise RequestError(f"{key}: expected a whole number ≥ {least}, got {value!r}")
    return number


def _stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    if not isinstance(stop, Iterable):
        raise RequestError(f"stop: expected non-empty strings, got {stop!r}")
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    for text in stops:
        if not isinstance(text, str) or not text:
            raise RequestError(f"stop: expected non-empty strings, got {text!r}")
    return stops
