"""How an answer is compared with the oracle's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tolerances import CLEAR_MARGIN

Array = npt.NDArray[np.float32]


def max_relative_error(got: Array, want: Array) -> float:
    """Largest absolute difference over the largest absolute value of `want`."""
    return float(np.abs(np.asarray(got, np.float64) - want).max() / np.abs(want).max())


def rms_relative_error(got: Array, want: Array) -> float:
    """Root mean square difference over the root mean square of `want`."""
    difference = np.asarray(got, np.float64) - want
    return float(np.sqrt((difference**2).mean() / (np.asarray(want, np.float64) ** 2).mean()))


def assert_logits(got: Array, want: Array, bound: float, what: str) -> None:
    """`got` is float32, finite, of the oracle's shape and within `bound` of its largest value."""
    assert got.dtype == np.float32, f"{what}: logits are {got.dtype}, expected float32"
    assert got.shape == want.shape, f"{what}: logits are {got.shape}, expected {want.shape}"
    assert np.isfinite(got).all(), f"{what}: logits are not finite"
    error = max_relative_error(got, want)
    assert error <= bound, f"{what}: error {error:.2e} of the largest logit, bound {bound:.0e}"


def assert_greedy(
    got: Sequence[int], want: Sequence[int], margins: Array, bound: float, what: str
) -> None:
    """The same tokens, up to the first step at which the oracle itself was nearly undecided.

    After such a step the two texts are different questions, so nothing more is compared.
    """
    assert len(got) == len(want), f"{what}: {len(got)} tokens, expected {len(want)}"
    for step, (token, expected, margin) in enumerate(zip(got, want, margins, strict=True)):
        if token != expected:
            clear = CLEAR_MARGIN * bound
            assert margin <= clear, (
                f"{what}: token {token} at step {step}, expected {expected}; "
                f"the oracle's margin {margin:.1e} is clear (more than {clear:.1e})"
            )
            return
