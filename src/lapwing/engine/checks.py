"""Arguments as callers give them → plain Python values. NumPy's numbers are numbers, too."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from lapwing.errors import RequestError

MAX_BIAS = 100.0


def whole(name: str, value: Any, least: int) -> int:
    """A whole number from `least` up. Raises RequestError."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise RequestError(f"{name}: expected a whole number ≥ {least}, got {value!r}")
    return number


def real(
    name: str, value: Any, least: float, most: float = math.inf, *, above: bool = False
) -> float:
    """A finite number in [least, most]; `above`: greater than `least`. Raises RequestError."""
    bounds = f"{'>' if above else '≥'} {least:g}"
    if most < math.inf:
        bounds = f"from {least:g} to {most:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise RequestError(f"{name}: expected a number {bounds}, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond any float
        number = value = math.inf
    if not (math.isfinite(number) and least <= number <= most) or (above and number == least):
        raise RequestError(f"{name}: expected a finite number {bounds}, got {value}")
    return number


def flag(name: str, value: Any) -> bool:
    """True or False. Raises RequestError."""
    if not isinstance(value, (bool, np.bool_)):
        raise RequestError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def strings(name: str, value: Any) -> tuple[str, ...]:
    """One non-empty string, several, or None for none. Raises RequestError."""
    if value is None:
        return ()
    if not isinstance(value, Iterable):
        raise RequestError(f"{name}: expected non-empty strings, got {value!r}")
    texts = (value,) if isinstance(value, str) else tuple(value)
    for text in texts:
        if not isinstance(text, str) or not text:
            raise RequestError(f"{name}: expected non-empty strings, got {text!r}")
    return texts


def token_ids(name: str, value: Any) -> frozenset[int]:
    """One token id, several, or None for none. Raises RequestError."""
    if value is None:
        return frozenset()
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
    return frozenset(whole(name, token, 0) for token in (value if several else (value,)))


def within(name: str, tokens: Iterable[int], V: int) -> None:
    """Refuses tokens that a vocabulary of V has not. Raises RequestError."""
    outside = [token for token in tokens if token >= V]
    if outside:
        raise RequestError(f"{name}: {outside[0]} is outside the vocabulary [0, {V})")


def biases(name: str, value: Any) -> dict[int, float]:
    """{token id: what to add to its logit}, or None for none. Raises RequestError."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RequestError(f"{name}: expected {{token id: number}}, got {value!r}")
    result = {}
    for key, bias in value.items():
        token = whole(f"{name}: token id", key, 0)
        banned = isinstance(bias, Real) and bias == -math.inf
        result[token] = -math.inf if banned else real(f"{name}[{token}]", bias, -MAX_BIAS, MAX_BIAS)
    return result


def checked_threads(threads: Any) -> int:
    """A number of threads. Raises RequestError."""
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 1024:
        raise RequestError(f"threads: expected a number from 1 to 1024, got {threads!r}")
    return threads
