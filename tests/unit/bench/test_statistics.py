"""Statistics are SciPy's, on samples that were timed (tools/make_statistics_goldens.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import BOOTSTRAP_INTERVAL

from lapwing.bench.measure.stats import (
    Summary,
    bootstrap_ratio_apart,
    is_warm,
    variation,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "statistics.json").read_text())
SECONDS = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=200)


@pytest.mark.parametrize("name", GOLDEN["samples"])
def test_summaries_are_scipys(name: str) -> None:
    samples, want = GOLDEN["samples"][name], dict(GOLDEN["summaries"][name])
    assert variation(samples) == pytest.approx(want.pop("variation"), rel=1e-12)
    got = Summary.of(samples)
    assert {key: getattr(got, key) for key in want} == pytest.approx(want, rel=1e-12)
    assert got.n == len(samples)


@pytest.mark.parametrize("name", GOLDEN["ratios"])
def test_intervals_of_ratios_are_scipys(name: str) -> None:
    a, b = (GOLDEN["samples"][side] for side in name.split("/"))
    want = GOLDEN["ratios"][name]
    got = bootstrap_ratio_apart(a, b)
    assert got.value == pytest.approx(want["value"], rel=1e-12)
    width = want["high"] - want["low"]
    assert abs(got.low - want["low"]) < BOOTSTRAP_INTERVAL * width
    assert abs(got.high - want["high"]) < BOOTSTRAP_INTERVAL * width


@given(SECONDS)
def test_a_summary_is_in_order(samples: list[float]) -> None:
    s = Summary.of(samples)
    assert s.min <= s.p5 <= s.median <= s.p95 <= max(samples)
    assert (s.std is None) == (len(samples) == 1)
    assert (s.p99 is None) == (len(samples) < 100)


@given(SECONDS, SECONDS, st.floats(0.1, 10))
def test_a_ratio_scales_with_its_samples(a: list[float], b: list[float], factor: float) -> None:
    plain = bootstrap_ratio_apart(a, b)
    scaled = bootstrap_ratio_apart([factor * x for x in a], b)
    assert plain.low <= plain.high
    for got, want in zip(vars(scaled).values(), vars(plain).values(), strict=True):
        assert got == pytest.approx(factor * want, rel=1e-9)


def test_nothing_has_no_statistics() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        Summary.of([])
    with pytest.raises(ValueError, match="expected a sample of each"):
        bootstrap_ratio_apart([1.0], [])


def test_warm_is_when_the_last_three_agree() -> None:
    assert not is_warm([1.0, 1.0])
    assert not is_warm([1.0, 1.0, 1.2])
    assert is_warm([9.0, 1.0, 1.01, 1.02])
    rng = np.random.default_rng(0)
    assert is_warm(list(1 + 0.01 * rng.standard_normal(3)))
