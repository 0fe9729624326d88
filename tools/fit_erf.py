"""The coefficients of `erf` in native/kernels/float_math.hpp: a rational minimax fit, printed.

x·P(x²)/Q(x²), degrees 6 and 4, on ±3.92, by linearised least squares whose weights follow the
error until it is level (Sanathanan & Koerner 1963; Lawson 1961). Needs NumPy.
"""

from __future__ import annotations

import math

import numpy as np

END, UPPER, LOWER, ROUNDS = 3.92, 6, 4, 200


def fit() -> tuple[float, np.ndarray, np.ndarray]:
    """(largest absolute error of erf, coefficients of P, of Q), ascending powers of x²."""
    nodes = np.cos(np.pi * (np.arange(2000) + 0.5) / 2000)
    x = np.sort((nodes + 1) / 2 * END)
    x = x[x > 1e-4]
    square = (x / END) ** 2
    wanted = np.array([math.erf(v) for v in x]) / x
    powers_p, powers_q = (np.vander(square, n + 1, increasing=True) for n in (UPPER, LOWER))
    weight, divisor = np.ones_like(x), np.ones_like(x)
    best = (math.inf, np.empty(0), np.empty(0))
    for _ in range(ROUNDS):
        scale = x * np.sqrt(weight) / divisor
        matrix = np.hstack([powers_p, -wanted[:, None] * powers_q[:, 1:]])
        found = np.linalg.lstsq(matrix * scale[:, None], wanted * scale, rcond=None)[0]
        p, q = found[: UPPER + 1], np.concatenate([[1.0], found[UPPER + 1 :]])
        divisor = powers_q @ q
        error = np.abs(x * (powers_p @ p / divisor - wanted))
        if error.max() < best[0]:
            best = (
                float(error.max()),
                p / END ** (2 * np.arange(UPPER + 1)),
                q / END ** (2 * np.arange(LOWER + 1)),
            )
        weight *= error / error.max() + 0.02
        weight /= weight.mean()
    return best


if __name__ == "__main__":
    largest, p, q = fit()
    print(f"largest error {largest:.2e}")
    for name, coefficients in (("P", p), ("Q", q)):
        print(name, *(f"{np.float32(c):.9e}" for c in coefficients))
