"""How often, how long, and when a measurement is to be believed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """Warm-up until the last three runs vary by less than 5 %, or `most_warm_up` runs.

    Then rounds, in which each competitor has a turn of `turn_s`, until everyone has min_runs runs
    and min_s seconds, or the slowest has had max_s. Every `anchor_every` rounds a fixed piece of
    work is timed: more than `drift` off, and what was measured since the last clean one is given
    up, after waiting for cool_s at most; without that wait everything is kept and called unstable.
    energy_s: of a window, idle or not; shorter ones tell nothing of real counters.
    """

    min_runs: int = 10
    min_s: float = 5.0
    max_s: float = 600.0
    turn_s: float = 0.1
    least_warm_up: int = 3
    most_warm_up: int = 10
    anchor_every: int = 4
    drift: float = 0.05
    cool_s: float = 30.0
    energy_s: float = 10.0
    seed: int = 0

    @classmethod
    def quick(cls) -> Rules:
        """Does it work? Two runs each; nothing to be believed."""
        return cls(min_runs=2, min_s=0.0, turn_s=0.0, least_warm_up=1, most_warm_up=1, cool_s=0.0)
