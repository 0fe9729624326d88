"""Token ids as callers give them → rows of real tokens."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lapwing.backends.base import Floats
from lapwing.errors import RequestError


@dataclass(frozen=True)
class Rows:
    """Ids [B, L] and which of them are tokens; `single`: they came as [L]."""

    ids: NDArray[Any]
    live: NDArray[np.bool_]
    single: bool

    @classmethod
    def of(cls, input_ids: ArrayLike, attention_mask: ArrayLike | None) -> Rows:
        """Raises RequestError for shapes and dtypes that cannot be ids."""
        ids = whole_numbers("input_ids", input_ids)
        if ids.ndim not in (1, 2) or ids.size == 0:
            raise RequestError(f"input_ids: expected [L] or [B, L], got shape {list(ids.shape)}")
        mask = np.ones(ids.shape, bool) if attention_mask is None else np.asarray(attention_mask)
        if mask.shape != ids.shape:
            raise RequestError(
                f"attention_mask: expected shape {list(ids.shape)}, got {list(mask.shape)}"
            )
        return cls(np.atleast_2d(ids), np.atleast_2d(mask != 0), ids.ndim == 1)

    def tokens(self) -> list[list[Any]]:
        """The real tokens of each row."""
        return self.of_tokens(self.ids)

    def of_tokens(self, values: NDArray[Any]) -> list[list[Any]]:
        """What an array of the same shape says of the real tokens of each row."""
        return [row[keep].tolist() for row, keep in zip(values, self.live, strict=True)]

    def spread(self, parts: Sequence[Floats], width: int) -> Floats:
        """One array [tokens, width] a row → [B, L, width], zeros where there is no token.

        [L, width] where the ids came as [L].
        """
        out = np.zeros((*self.ids.shape, width), np.float32)
        for row, keep, values in zip(out, self.live, parts, strict=True):
            row[keep] = values
        return out[0] if self.single else out


def whole_numbers(name: str, values: ArrayLike) -> NDArray[Any]:
    """An array of integers. Raises RequestError."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise RequestError(
            f"{name}: expected [L] or [B, L], got rows of different lengths. Pad them, and give "
            "an attention_mask that is 0 where they are padded."
        ) from None
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise RequestError(f"{name}: expected whole numbers, got {array.dtype}")
    return array


def checked_ids(ids: Sequence[Any], below: int, what: str = "token") -> list[int]:
    """Whole numbers in [0, below). Raises RequestError naming the position."""
    result = []
    for at, token in enumerate(ids):
        try:
            result.append(operator.index(token))
        except TypeError:
            raise RequestError(f"{what} {at}: expected a whole number, got {token!r}") from None
        if not 0 <= result[-1] < below:
            kind = "the vocabulary " if what == "token" else ""
            raise RequestError(f"{what} {at}: {result[-1]} is outside {kind}[0, {below})")
    return result
