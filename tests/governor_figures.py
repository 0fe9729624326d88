"""Figures of merit of the governor on simulated laptops, and the gates they have to pass.

tests/laws/test_governor_gates.py holds them to it; tools/governor_report.py writes them down.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

from closed_loop import (
    HALF_AN_HOUR_S,
    WARM_S,
    Fixed,
    Governed,
    Ignored,
    PauseAtLimit,
    Policy,
    TokenTimes,
    Trace,
    Watts,
    disturbed,
    heat,
    oracle_tokens,
    pressure,
    run,
    seer_tokens,
    told,
)
from plants import AIR, H45, U15, U15_FAN, Plant, random_plants

from lapwing.power.governor import precision
from lapwing.power.governor.observation import Observation
from lapwing.power.governor.settings import Settings

SEEDS = range(5)  # of the thermometer's noise; the worst counts
RANDOM_PLANTS = 50
RANDOM_SET_C = 85.0
OTHER_W, OTHER_FROM_S, OTHER_S = 8.0, 900, 300
NOTICED, BEYOND_NOISE = 0.02, 0.10  # of duty: two meanings of a move
WATTS_CAP = 15.0
TWO_HOURS_S = 7200


@dataclass(frozen=True)
class Case:
    """A laptop and what is to be held on it."""

    plant: Plant
    set_c: float

    def __str__(self) -> str:
        return f"{self.plant.name} {self.set_c:.0f}"


@dataclass(frozen=True)
class Gate:
    """A figure and its bound. missed: why it is not reached."""

    name: str
    where: str
    unit: str
    bound: float
    measure: Callable[[], float]
    at_least: bool = False
    missed: str | None = None

    @property
    def value(self) -> float:
        """Worked out once."""
        return _value(self)

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        return f"{self.name}, {self.where}"


@cache
def _value(gate: Gate) -> float:
    return gate.measure()


Wanted = Callable[[float], Policy]  # who holds a set-point, from the set-point


def governed(set_c: float) -> Policy:
    """The governor with a limit of temperature, nothing else."""
    return Governed(Settings(max_temp_c=set_c))


def ignored(set_c: float) -> Policy:
    """The governor, and an engine that does not listen."""
    return Ignored(governed(set_c))


def traces(case: Case, wanted: Wanted = governed, ripples: bool = False) -> list[Trace]:
    """One a seed."""
    return _traces(case, wanted, ripples)


@cache
def _traces(case: Case, wanted: Wanted, ripples: bool) -> list[Trace]:
    return [
        run(case.plant, wanted(case.set_c), case.set_c, seed=seed, ripples=ripples)
        for seed in SEEDS
    ]


def overshoot_c(case: Case, wanted: Wanted = governed, ripples: bool = False) -> float:
    """The hottest moment above the set-point."""
    return max(trace.overshoot_c for trace in traces(case, wanted, ripples))


def rms_c(case: Case, wanted: Wanted = governed, ripples: bool = False) -> float:
    """Distance from the set-point after ten minutes."""
    return max(trace.rms_c for trace in traces(case, wanted, ripples))


def share_of_oracle(case: Case, wanted: Wanted = governed) -> float:
    """Tokens of half an hour, over those of the best constant duty."""
    best = sum(oracle_tokens(case.plant, case.set_c))
    return min(trace.tokens for trace in traces(case, wanted)) / best


def share_of_seer(case: Case, wanted: Wanted = governed) -> float:
    """Tokens from the tenth minute on, over those of somebody who knows the plant exactly."""
    best = sum(seer_tokens(case.plant, case.set_c)[WARM_S:])
    return min(sum(trace.tps[WARM_S:]) for trace in traces(case, wanted)) / best


def excursion_c(case: Case, wanted: Wanted = governed) -> float:
    """How far other work drives the temperature up."""
    found = [
        run(
            case.plant, wanted(case.set_c), case.set_c, seed=seed,
            other_w=disturbed(OTHER_W, OTHER_FROM_S, OTHER_S),
        )
        for seed in SEEDS
    ]  # fmt: skip
    return max(max(trace.die_c[OTHER_FROM_S:]) for trace in found) - case.set_c


def moves(case: Case, larger_than: float) -> float:
    """Changes of duty a minute."""
    return max(trace.moves_per_minute(larger_than) for trace in traces(case))


def settle_s(case: Case, wanted: Wanted = governed) -> float:
    """Infinite where it never does."""
    found = [trace.settle_s for trace in traces(case, wanted)]
    return max(float("inf") if each is None else float(each) for each in found)


def random_overshoots_c(wanted: Wanted = governed, every_s: int = 1) -> list[float]:
    """Of each random plant, sorted."""
    return _random_overshoots_c(wanted, every_s)


@cache
def _random_overshoots_c(wanted: Wanted, every_s: int) -> list[float]:
    return sorted(
        run(plant, wanted(RANDOM_SET_C), RANDOM_SET_C, seed=seed, every_s=every_s).overshoot_c
        for seed, plant in enumerate(random_plants(RANDOM_PLANTS, RANDOM_SET_C))
    )


def percentile(sorted_values: list[float], share: float) -> float:
    """The smallest value that so many do not exceed."""
    return sorted_values[max(0, -int(-share * len(sorted_values) // 1) - 1)]


# Collapsing firmware: what holds the chip below its limit gives more tokens than what runs into it.

Sense = Literal[
    "none", "fixed", "pause", "max_temp", "balanced", "observe", "pressure", "token_times"
]


def collapsing(sense: Sense, seconds: int, *, heard: bool = True) -> Trace:
    """The AIR with what a governor can see of it; its critical temperature is the firmware's."""
    return _collapsing(sense, seconds, heard)


@cache
def _collapsing(sense: Sense, seconds: int, heard: bool) -> Trace:
    settings = Settings(mode="observe" if sense == "observe" else "balanced")
    if sense == "max_temp":
        settings = Settings(max_temp_c=95.0)
    policy: Policy = Governed(settings)
    if sense == "pause":
        policy = PauseAtLimit(95.0)
    elif sense in ("none", "fixed"):
        policy = Fixed(1.0 if sense == "none" else 0.5)
    observe = told(AIR.throttle_c)
    if sense == "pressure":
        observe = pressure(87.0, 95.0)
    elif sense == "token_times":
        observe = TokenTimes()
    return run(AIR, policy if heard else Ignored(policy), 95.0, seconds=seconds, observe=observe)


def gain(sense: Sense, seconds: int = HALF_AN_HOUR_S, *, heard: bool = True) -> float:
    """Tokens over those without a governor."""
    return collapsing(sense, seconds, heard=heard).tokens / collapsing("none", seconds).tokens


@cache
def capped_w(*, heard: bool = True) -> float:
    """Mean watts of the package, warm, under a limit of watts."""
    policy: Policy = Governed(Settings(max_watts=WATTS_CAP))
    trace = run(U15, policy if heard else Ignored(policy), observe=Watts())
    late = trace.watts[WARM_S:]
    return sum(late) / len(late)


@cache
def fan(mode: Literal["none", "max_temp", "quiet", "quiet_rpm"]) -> Trace:
    """The thin laptop with its fan: on from 75 °C, off below 65 °C."""
    settings = Settings(max_temp_c=72.0) if mode == "max_temp" else Settings(mode="quiet")
    policy: Policy = Fixed() if mode == "none" else Governed(settings)
    observe = heat if mode == "quiet_rpm" else _without_rpm
    return run(U15_FAN, policy, 70.0, seconds=TWO_HOURS_S, observe=observe)


def _without_rpm(laptop: object, shown_c: float) -> Observation:
    return Observation(temperature_c=shown_c, critical_c=105.0)


# Precision on battery: seconds of (on battery, charge) that are made to make it flap.

Second = tuple[bool, float]
Decide = Callable[[list[Second]], Sequence[str]]
TRACE_S = 2 * 3600


def gauge_noise(level: float) -> list[Second]:
    """A gauge of 1 % that is told anew every ten seconds, around a threshold."""
    noise, shown = random.Random(7), level
    seconds: list[Second] = []
    for second in range(TRACE_S):
        if second % 10 == 0:
            shown = round(level + noise.gauss(0.0, 0.01), 2)
        seconds.append((True, shown))
    return seconds


def flapping(on_s: int, charge: float = 0.35) -> list[Second]:
    """A USB-C plug that lets go and comes back."""
    return [(second // on_s % 2 == 0, charge) for second in range(TRACE_S)]


def random_flapping() -> list[Second]:
    """… at random: 5 s to two minutes."""
    draw = random.Random(11)
    seconds: list[Second] = []
    while len(seconds) < TRACE_S:
        seconds += [(draw.random() < 0.5, 0.35)] * draw.randrange(5, 120)
    return seconds


def discharge() -> list[Second]:
    """An honest one, 95 % to 15 % in three hours and a bit, by a gauge of 0.3 %."""
    noise = random.Random(13)
    return [(True, 0.95 - s / 14400 + noise.gauss(0.0, 0.003)) for s in range(int(3.2 * 3600))]


TRACES: dict[str, list[Second]] = {
    "gauge noise at 40 %": gauge_noise(precision.DOWN_AT),
    "plug flaps every 40 s": flapping(40),
    "plug flaps every 80 s": flapping(80),
    "plug flaps at random": random_flapping(),
    "honest discharge": discharge(),
}


def naive(seconds: list[Second]) -> Sequence[str]:
    """int4 at 40 % on battery and below, else int8."""
    return _below(precision.DOWN_AT, seconds)


def naive_floor(seconds: list[Second]) -> Sequence[str]:
    """… at the battery's floor."""
    return _below(Settings().battery_floor, seconds)


def _below(share: float, seconds: list[Second]) -> Sequence[str]:
    return ["int4" if on and charge <= share else "int8" for on, charge in seconds]


def decided(settings: Settings) -> Decide:
    """What the governor says, second by second."""

    def decide(seconds: list[Second]) -> Sequence[str]:
        policy = Governed(settings)
        found: list[str] = []
        for on_battery, charge in seconds:
            policy.duty(Observation(on_battery=on_battery, charge=charge))
            assert policy.command is not None
            found.append(policy.command.precision or "int8")
        return found

    return decide


# By default the precision follows the battery only below its floor of 15 %.
FLOOR_TRACES: dict[str, list[Second]] = {
    "gauge noise at 15 %": gauge_noise(0.15),
    "plug flaps every 40 s at 12 %": flapping(40, 0.12),
    "plug flaps every 80 s at 12 %": flapping(80, 0.12),
}

PROFILES = {
    "battery": Settings(mode="battery"),
    "auto": Settings(follow=True),
    "observe": Settings(),
}


@cache
def governed_flips(trace: str, profile: str) -> int:
    """Of the governor, by the names of both."""
    return flips_an_hour(decided(PROFILES[profile]), {**TRACES, **FLOOR_TRACES}[trace])


def flips_an_hour(decide: Decide, seconds: list[Second]) -> int:
    """Changes of precision in the worst hour."""
    chosen = decide(seconds)
    at = [second for second, (a, b) in enumerate(pairwise(chosen)) if a != b]
    return max((sum(0 <= later - each < 3600 for later in at) for each in at), default=0)


# The gates.

OVERSHOOT_C, RANDOM_P95_C, RMS_C, EXCURSION_C = 3.0, 5.0, 0.5, 4.0
SHARE, MOVES, SETTLE_S, FLIPS = 0.99, 3.0, 120.0, 4.0

NAMED = (Case(U15, 85.0), Case(AIR, 90.0), Case(H45, 85.0))
QUIET = Case(U15, 70.0)


def _of_case(case: Case) -> list[Gate]:
    """Those of a named laptop."""
    where = str(case)
    return [
        Gate("overshoot", where, "°C", OVERSHOOT_C, lambda: overshoot_c(case)),
        Gate("RMS after 10 min", where, "°C", RMS_C, lambda: rms_c(case)),
        Gate("tokens ÷ best constant duty", where, "", SHARE, lambda: share_of_oracle(case), True),
        Gate("tokens ÷ perfect knowledge", where, "", SHARE, lambda: share_of_seer(case), True),
        Gate("8 W of other work", where, "°C", EXCURSION_C, lambda: excursion_c(case)),
        Gate(
            "moves of more than 0.10", where, "/min", MOVES, lambda: moves(case, BEYOND_NOISE)
        ),
        Gate("moves of more than 0.02", where, "/min", MOVES, lambda: moves(case, NOTICED)),
        Gate(
            "settling", where, "s", SETTLE_S, lambda: settle_s(case),
        ),
        Gate(
            "overshoot of a die that ripples", where, "°C", OVERSHOOT_C,
            lambda: overshoot_c(case, ripples=True),
        ),
    ]  # fmt: skip


def _of_flips(traces: Iterable[str], *profiles: str) -> list[Gate]:
    def gate(trace: str, profile: str) -> Gate:
        return Gate(f"flips: {trace}", profile, "/h", FLIPS, lambda: governed_flips(trace, profile))

    return [gate(trace, profile) for trace in traces for profile in profiles]


GATES: tuple[Gate, ...] = (
    *(gate for case in (*NAMED, QUIET) for gate in _of_case(case)),
    Gate(
        "overshoot, 95 of 100", f"{RANDOM_PLANTS} random plants", "°C", RANDOM_P95_C,
        lambda: percentile(random_overshoots_c(), 0.95),
    ),
    Gate(
        "tokens ÷ none, collapsing firmware", "max temp 95", "", 1.0, lambda: gain("max_temp"), True
    ),
    Gate(
        "tokens ÷ none, collapsing firmware", "pressure levels", "", 1.0,
        lambda: gain("pressure"), True,
    ),
    Gate(
        "tokens ÷ none, collapsing firmware", "token times alone", "", 1.0,
        lambda: gain("token_times"), True,
    ),
    Gate("mean watts under a limit of 15", "U15", "W", 1.02 * WATTS_CAP, capped_w),
    Gate(
        "tokens ÷ none, collapsing firmware", "default, critical temperature told", "", 1.0,
        lambda: gain("observe"), True,
    ),
    *_of_flips(TRACES, "battery", "auto"),
    *_of_flips(FLOOR_TRACES, "auto", "observe"),
)  # fmt: skip
