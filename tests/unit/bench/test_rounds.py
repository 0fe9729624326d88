"""Turns, warm-up, the anchor: on competitors whose times are written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat

import pytest

from lapwing.bench.anchor import Anchor
from lapwing.bench.rounds import Measured, Sample, run_rounds, warm_up
from lapwing.bench.rules import Rules

RULES = Rules(min_runs=6, min_s=0.0, turn_s=0.0, anchor_every=2, cool_s=3.0)


class Scripted:
    """Takes the times it is told, then the last one again and again."""

    def __init__(self, label: str, times_s: Sequence[float], log: list[str] | None = None) -> None:
        self.label = label
        self._times_s: Iterator[float] = chain(times_s, repeat(times_s[-1]))
        self._log = [] if log is None else log

    def run(self) -> Sample:
        return {"seconds": next(self._times_s)}

    def turn(self, at_least_s: float) -> list[Sample]:
        self._log.append(self.label)
        return [self.run()]


def anchor(probes_s: Sequence[float], slept_s: list[float] | None = None) -> Anchor:
    """The first three probes are the mark's."""
    script = chain(probes_s, repeat(probes_s[-1]))
    slept = [] if slept_s is None else slept_s
    return Anchor(0.05, 3.0, probe=lambda: next(script), sleep=slept.append)


def test_warm_up_ends_when_three_runs_agree() -> None:
    measured = Measured()
    warm_up(Scripted("a", [9.0, 5.0, 1.0, 1.01, 1.02]), RULES, measured)
    assert measured.warm_up_s == [9.0, 5.0, 1.0, 1.01, 1.02]


def test_warm_up_gives_up_after_ten_runs() -> None:
    measured = Measured()
    warm_up(Scripted("a", [float(2 ** (n % 2)) for n in range(50)]), RULES, measured)
    assert len(measured.warm_up_s) == 10


def test_everyone_has_a_turn_in_each_round_in_an_order_of_the_seed() -> None:
    def order(seed: int) -> list[str]:
        log: list[str] = []
        competitors = [Scripted(name, [1.0], log) for name in "abc"]
        run_rounds(competitors, Rules(seed=seed, min_s=0.0), anchor=anchor([1.0]))
        return log

    turns = order(0)
    rounds = [turns[i : i + 3] for i in range(0, len(turns), 3)]
    assert len(rounds) == 10
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1
    assert turns == order(0) != order(1)


def test_both_limits_hold_for_the_slowest_to_reach_them() -> None:
    """Ten runs and five seconds: of 0.125 s runs it takes forty, of 2 s runs ten."""
    found = run_rounds(
        [Scripted("short", [0.125]), Scripted("long", [2.0])], Rules(), anchor=anchor([1.0])
    )
    runs = {label: len(m.runs) for label, m in found.measured.items()}
    assert runs == {"short": 40, "long": 40}
    alone = run_rounds([Scripted("long", [2.0])], Rules(), anchor=anchor([1.0]))
    assert len(alone.measured["long"].runs) == 10
    assert found.unstable is None


def test_what_drifted_is_measured_again() -> None:
    """Rounds 3 and 4 end at an anchor that is 20 % slow, and comes back after one pause."""
    slept_s: list[float] = []
    times_s = [1.0] * 3 + [1.0, 1.0, 7.0, 7.0, 1.0]
    mark, clean, slow = [1.0] * 3, [1.0], [1.2]
    found = run_rounds(
        [Scripted("a", times_s)], RULES, anchor=anchor([*mark, *clean, *slow, 1.01], slept_s)
    )
    assert [run["seconds"] for run in found.measured["a"].runs] == [1.0] * 6
    assert found.measured["a"].discarded == 2
    assert slept_s == [0.5]
    assert found.unstable is None
    assert found.cooled_s == 0.5


def test_a_machine_that_stays_slow_makes_the_run_unstable() -> None:
    slept_s: list[float] = []
    found = run_rounds([Scripted("a", [1.0])], RULES, anchor=anchor([1.0, 1.0, 1.0, 1.3], slept_s))
    assert len(found.measured["a"].runs) == 6
    assert found.measured["a"].discarded == 0
    assert slept_s == [0.5, 1.0]  # backs off, up to three seconds in all
    assert found.unstable == (
        "the anchor drifted by +30%, and was still +30% off after 1.5 s of waiting"
    )


def test_a_machine_that_gets_faster_has_drifted_too() -> None:
    found = run_rounds([Scripted("a", [1.0])], RULES, anchor=anchor([1.0, 1.0, 1.0, 0.8]))
    assert found.unstable is not None
    assert "-20%" in found.unstable


def test_the_longest_time_ends_it() -> None:
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s += 100.0
        return now_s

    found = run_rounds(
        [Scripted("a", [1e-9])], Rules(max_s=600.0), anchor=anchor([1.0]), clock=clock
    )
    assert 0 < len(found.measured["a"].runs) < 10


def test_ctrl_c_keeps_what_was_measured() -> None:
    class Interrupted(Scripted):
        def turn(self, at_least_s: float) -> list[Sample]:
            if len(self._log) == 3:
                raise KeyboardInterrupt
            return super().turn(at_least_s)

    found = run_rounds([Interrupted("a", [1.0])], RULES, anchor=anchor([1.0]))
    assert found.interrupted
    assert len(found.measured["a"].runs) == 3


def test_progress_goes_up_to_the_end() -> None:
    told: list[tuple[float, float]] = []
    now_s = iter(range(1000))
    clock: Callable[[], float] = lambda: float(next(now_s))  # noqa: E731
    run_rounds(
        [Scripted("a", [0.5])],
        RULES,
        anchor=anchor([1.0]),
        on_progress=lambda done_s, total_s: told.append((done_s, total_s)),
        clock=clock,
    )
    shares = [done_s / total_s for done_s, total_s in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
