"""Turns of competitors, in an order drawn for each round; what drifted is measured again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from lapwing.bench.anchor import Anchor
from lapwing.bench.measure.stats import is_warm
from lapwing.bench.rules import Rules

Sample = Mapping[str, Any]  # "seconds", and what else a run tells
OnProgress = Callable[[float, float], None]  # seconds of work done, and in all


class Competitor(Protocol):
    """Something that has turns. `label` is its own."""

    label: str

    def run(self) -> Sample:
        """Once."""

    def turn(self, at_least_s: float) -> list[Sample]:
        """Runs for so long."""


@dataclass
class Measured:
    """Of one competitor: its turns, in the order of rounds; each is a list of runs."""

    turns: list[list[Sample]] = field(default_factory=list)
    warm_up_s: list[float] = field(default_factory=list)
    discarded: int = 0  # runs

    @property
    def runs(self) -> list[Sample]:
        """Of all turns."""
        return [run for turn in self.turns for run in turn]

    @property
    def spent_s(self) -> float:
        """In them."""
        return sum(run["seconds"] for run in self.runs)


@dataclass
class Rounds:
    """Of all competitors. unstable: why they are not to be believed, if so."""

    measured: dict[str, Measured]
    unstable: str | None = None
    interrupted: bool = False
    cooled_s: float = 0.0


def warm_up(competitor: Competitor, rules: Rules, measured: Measured) -> None:
    """Until it is warm, or has had as many runs as it may."""
    durations_s = measured.warm_up_s
    while len(durations_s) < rules.most_warm_up:
        durations_s.append(competitor.run()["seconds"])
        if len(durations_s) >= rules.least_warm_up and is_warm(durations_s):
            return


def run_rounds(
    competitors: Sequence[Competitor],
    rules: Rules,
    *,
    anchor: Anchor | None = None,
    on_progress: OnProgress = lambda done_s, total_s: None,
    clock: Callable[[], float] = time.monotonic,
) -> Rounds:
    """Ctrl-C ends it; what was measured until then is there."""
    rounds = Rounds({each.label: Measured() for each in competitors})
    try:
        for each in competitors:
            warm_up(each, rules, rounds.measured[each.label])
        anchor = anchor or Anchor(rules.drift, rules.cool_s)
        _take_turns(competitors, rules, anchor, rounds, on_progress, clock)
    except KeyboardInterrupt:
        rounds.interrupted = True
    if anchor is not None:
        rounds.unstable, rounds.cooled_s = anchor.moved, anchor.cooled_s
    return rounds


def _take_turns(
    competitors: Sequence[Competitor],
    rules: Rules,
    anchor: Anchor,
    rounds: Rounds,
    on_progress: OnProgress,
    clock: Callable[[], float],
) -> None:
    rng = np.random.default_rng(rules.seed)
    began_s = clock()
    kept = 0  # rounds up to the last clean anchor
    done = 0
    while True:
        for at in rng.permutation(len(competitors)):
            each = competitors[at]
            rounds.measured[each.label].turns.append(each.turn(rules.turn_s))
        done += 1
        enough = all(_enough(m, rules) for m in rounds.measured.values())
        over = clock() - began_s > rules.max_s * len(competitors)
        if enough or over or done - kept >= rules.anchor_every:
            held = anchor.holds()
            if not held and anchor.moved is None and not over:
                for m in rounds.measured.values():
                    m.discarded += sum(map(len, m.turns[kept:]))
                    del m.turns[kept:]
                done, enough = kept, False
            kept = done
        spent_s = clock() - began_s
        on_progress(spent_s, spent_s + _left_s(rounds, rules))
        if enough or over:
            return


def _enough(measured: Measured, rules: Rules) -> bool:
    return len(measured.runs) >= rules.min_runs and measured.spent_s >= rules.min_s


def _left_s(rounds: Rounds, rules: Rules) -> float:
    """As long as the slowest still needs, with turns of everyone."""
    share = 1.0
    for m in rounds.measured.values():
        runs, spent_s = len(m.runs), m.spent_s
        share = min(share, runs / rules.min_runs, spent_s / rules.min_s if rules.min_s else 1.0)
    total_s = sum(m.spent_s for m in rounds.measured.values())
    return total_s * (1 / share - 1) if share > 0 else 0.0
