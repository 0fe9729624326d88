"""Whether B is slower than A: simulated machines, and runs that cannot be compared."""

from __future__ import annotations

import numpy as np
import pytest
from bench_records import CONTEXT, record
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FALSE_ALARMS, FOUND_SLOWDOWNS

from lapwing.bench.compare import Comparison, compare, judge
from lapwing.bench.measure.stats import Ratio
from lapwing.errors import RequestError

# What a laptop's runs look like: a spread around the median, and now and then a late one.
NOISES = {"quiet": (0.01, 0.0), "usual": (0.03, 0.05), "noisy": (0.10, 0.10)}
PAIRS = 100


def machine(rng: np.random.Generator, noise: str, runs: int, slower: float = 1.0) -> list[float]:
    spread, late = NOISES[noise]
    seconds = 0.02 * slower * np.exp(spread * rng.standard_normal(runs))
    seconds[rng.random(runs) < late] *= 1.5
    return [float(s) for s in seconds]


def verdicts(noise: str, runs: int, slower: float, pairs: int = PAIRS) -> list[str]:
    rng = np.random.default_rng(20260304)
    found = []
    for _ in range(pairs):
        a = record(machine(rng, noise, runs))
        b = record(machine(rng, noise, runs, slower), run_id="bbbb0000")
        found.append(one(compare([a], [b], 0.05)).verdict)
    return found


def one(found: list[Comparison]) -> Comparison:
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("noise", "runs"), [("quiet", 10), ("usual", 10), ("noisy", 10), ("noisy", 40)]
)
def test_no_change_is_called_slower_in_fewer_than_one_of_twenty(noise: str, runs: int) -> None:
    found = verdicts(noise, runs, 1.0)
    assert found.count("slower") < FALSE_ALARMS * len(found)
    assert found.count("faster") < FALSE_ALARMS * len(found)


@pytest.mark.parametrize(("noise", "runs"), [("quiet", 10), ("usual", 20), ("noisy", 80)])
def test_ten_percent_slower_is_found(noise: str, runs: int) -> None:
    found = verdicts(noise, runs, 1.1)
    assert found.count("slower") > FOUND_SLOWDOWNS[noise] * len(found)
    assert found.count("faster") == 0


def test_the_same_run_is_the_same() -> None:
    row = record(machine(np.random.default_rng(1), "quiet", 50))
    told = one(compare([row], [row]))
    assert told.ratio.value == 1.0
    assert told.verdict == "same"


@given(st.floats(0.5, 2), st.floats(0.0, 0.5), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
@settings(max_examples=200)
def test_verdicts_exclude_each_other(
    value: float, below: float, above: float, fail_on: float
) -> None:
    """Swapped sides swap slower and faster."""
    ratio = Ratio(value, value - below * value, value + above * value)
    swapped = Ratio(1 / value, 1 / ratio.high, 1 / max(ratio.low, 1e-9))
    told, back = judge(ratio, fail_on), judge(swapped, fail_on)
    mirror = {"slower": "faster", "faster": "slower"}
    if abs(value - (1 + fail_on)) > 1e-9 and abs(value - 1 / (1 + fail_on)) > 1e-9:
        assert (told in mirror) == (back in mirror)
        if told in mirror:
            assert mirror[told] == back


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"context": {**CONTEXT, "governor": "performance"}},
            "governor: powersave and performance",
        ),
        ({"context": {**CONTEXT, "power_source": "battery"}}, "power_source: mains and battery"),
        ({"context": {**CONTEXT, "cpu": "Other CPU"}}, "cpu: Test CPU and Other CPU"),
        ({"model_sha256": "00"}, "model_sha256: None and 00"),
        ({"isa": "generic"}, "isa: avx2 and generic"),
    ],
)
def test_unequal_contexts_are_refused_unless_forced(change: dict[str, object], told: str) -> None:
    a, b = record([0.01] * 10), record([0.012] * 10, run_id="bbbb0000", **change)
    with pytest.raises(RequestError, match="--force") as refused:
        compare([a], [b])
    assert told in str(refused.value)
    forced = one(compare([a], [b], force=True))
    assert forced.verdict == "slower"
    assert told in forced.different


def test_rows_of_other_things_are_refused() -> None:
    with pytest.raises(RequestError, match="no row of the same thing"):
        compare([record([0.01] * 3)], [record([0.01] * 3, n_prompt=32)])


def test_rows_are_paired_whatever_their_order() -> None:
    first, second = record([0.01] * 10), record([0.03] * 10, dtype="int4", requested_dtype="int4")
    found = compare([first, second], [second, first])
    assert [c.ratio.value for c in found] == [1.0, 1.0]
