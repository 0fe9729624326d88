"""Logits → one token."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from lapwing.errors import RequestError


def check_temperature(temperature: object) -> float:
    """A finite number from 0 up; 0 is greedy."""
    if isinstance(temperature, bool) or not isinstance(temperature, Real):
        raise RequestError(f"temperature: expected a number ≥ 0, got {temperature!r}")
    value = float(temperature)
    if not (math.isfinite(value) and value >= 0):
        raise RequestError(f"temperature: expected a finite number ≥ 0, got {temperature}")
    return value


def sample_token(
    logits: ArrayLike, temperature: float = 0.0, rng: np.random.Generator | int | None = None
) -> int:
    """A token drawn from softmax(logits/temperature); at temperature 0 the largest logit.

    logits [V]. `rng` is a NumPy generator, a seed, or None for fresh entropy. Raises RequestError
    for a bad temperature, for logits that are not one row, and for NaN.
    """
    temperature = check_temperature(temperature)
    row = np.asarray(logits, np.float32)
    if row.ndim != 1 or row.size == 0:
        raise RequestError(f"logits: expected one row [V], got shape {list(row.shape)}")
    best = int(row.argmax())  # NaN wins an argmax
    if not np.isfinite(row[best]):
        raise RequestError(
            f"logits: the largest is {row[best]} at {best}; the model's arithmetic overflowed. "
            "Try dtype='f32'."
        )
    if temperature == 0:
        return best
    if not isinstance(rng, np.random.Generator):
        rng = np.random.default_rng(rng)
    with np.errstate(over="ignore"):  # a tiny temperature: everything but the best is 0
        weights = np.exp((row.astype(np.float64) - row[best]) / temperature)
    cumulative = np.cumsum(weights)
    drawn = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return min(int(drawn), row.size - 1)
