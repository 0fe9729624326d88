"""Policies at work on a simulated laptop, second by second, and what is read off their traces."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from plants import FAN_RPM, PLATFORM_W, Laptop, Plant, Thermometer, leakage

from lapwing.power.governor.command import Command
from lapwing.power.governor.memory import Memory
from lapwing.power.governor.observation import Observation, PressureLevel
from lapwing.power.governor.settings import Settings
from lapwing.power.governor.slowdown import Detector
from lapwing.power.governor.state import State
from lapwing.power.governor.step import step

HALF_AN_HOUR_S = 1800
WARM_S = 600  # errors are counted from here on
SETTLED_C = 1.5
TOKEN_NOISE = 0.06  # of a token's time


class Policy(Protocol):
    """Decides a duty once a second, before the second begins."""

    def duty(self, seen: Observation) -> float:
        """0 to 1."""


@dataclass
class Fixed:
    """Always the same, as ds4's --power; 1 is no policy at all."""

    share: float = 1.0

    def duty(self, seen: Observation) -> float:
        return self.share


@dataclass
class PauseAtLimit:
    """Full work until the limit, then nothing for 30 s: the wish of ollama issue 12782."""

    limit_c: float
    rest_s: float = 30.0
    resting_s: float = 0.0

    def duty(self, seen: Observation) -> float:
        if self.resting_s > 0.0:
            self.resting_s -= 1.0
        elif seen.temperature_c is not None and seen.temperature_c >= self.limit_c:
            self.resting_s = self.rest_s - 1.0
        else:
            return 1.0
        return 0.0


@dataclass
class Governed:
    """The governor."""

    settings: Settings
    memory: Memory | None = None
    command: Command | None = None

    def duty(self, seen: Observation) -> float:
        self.command = step(State(seen, self.memory, self.settings), 1.0)
        self.memory = self.command.memory
        return self.command.duty


@dataclass
class Ignored:
    """Decides as another policy does, and nobody listens."""

    policy: Policy

    def duty(self, seen: Observation) -> float:
        self.policy.duty(seen)
        return 1.0


Observe = Callable[[Laptop, float], Observation]  # of the laptop and what its thermometer shows


def told(critical_c: float) -> Observe:
    """What most Linux laptops tell: degrees, what is critical, and how fast a fan turns."""

    def observe(laptop: Laptop, shown_c: float) -> Observation:
        rpm = None if laptop.plant.fan_kpw is None else FAN_RPM * laptop.fan_on
        return Observation(temperature_c=shown_c, critical_c=critical_c, fan_rpm=rpm)

    return observe


heat = told(105.0)


def pressure(moderate_c: float, heavy_c: float) -> Observe:
    """What macOS tells: words, no degrees."""

    def observe(laptop: Laptop, shown_c: float) -> Observation:
        level: PressureLevel = "nominal"
        if shown_c >= moderate_c:
            level = "heavy" if shown_c >= heavy_c else "moderate"
        return Observation(thermal_pressure=level)

    return observe


class Watts:
    """Heat, and the watts of the last second."""

    def __init__(self) -> None:
        self._joules = 0.0

    def __call__(self, laptop: Laptop, shown_c: float) -> Observation:
        watts = laptop.joules - self._joules - PLATFORM_W
        self._joules = laptop.joules
        return replace(heat(laptop, shown_c), watts=max(watts, 0.0))


class TokenTimes:
    """No sensor at all: the detector sees each token's time, and the governor what it says."""

    def __init__(self, seed: int = 0) -> None:
        self.detector, self._noise = Detector(), random.Random(seed)
        self._context = 0

    def __call__(self, laptop: Laptop, shown_c: float) -> Observation:
        token_s = 1.0 / (laptop.plant.full_tps * laptop.speed)
        new = int(laptop.tokens) - self._context
        for _ in range(new):
            self._context += 1
            noisy_s = token_s * max(0.1, 1.0 + self._noise.gauss(0.0, TOKEN_NOISE))
            self.detector = self.detector.push(noisy_s, self._context)
        if not new or self.detector.slowdown is None:
            return Observation()
        return Observation(slowdown=self.detector.slowdown if self.detector.alarmed else 0.0)


@dataclass(frozen=True)
class Trace:
    """What happened in each second, and sums. set_c: what was to be held, if anything."""

    set_c: float
    die_c: list[float]
    duty: list[float]
    tps: list[float]
    watts: list[float]  # of the package
    hottest_c: float
    j_per_token: float
    throttled: float  # share of the time
    fan: float

    @property
    def tokens(self) -> float:
        """All."""
        return sum(self.tps)

    @property
    def overshoot_c(self) -> float:
        """The hottest moment above the set-point; below 0 where it never came near."""
        return self.hottest_c - self.set_c

    @property
    def rms_c(self) -> float:
        """Root mean square distance from the set-point after the first ten minutes."""
        late = self.die_c[WARM_S:]
        return (sum((each - self.set_c) ** 2 for each in late) / len(late)) ** 0.5

    def moves_per_minute(self, larger_than: float) -> float:
        """Changes of the duty between one second and the next, after the first ten minutes."""
        late = self.duty[WARM_S:]
        return 60 * sum(abs(b - a) > larger_than for a, b in pairwise(late)) / len(late)

    @property
    def settle_s(self) -> int | None:
        """From 1 °C below the set-point to within 1.5 °C for good; None: never."""
        first = next((s for s, c in enumerate(self.die_c) if c >= self.set_c - 1.0), None)
        if first is None or abs(self.die_c[-1] - self.set_c) > SETTLED_C:
            return None
        last = max(
            (s for s, c in enumerate(self.die_c) if abs(c - self.set_c) > SETTLED_C), default=-1
        )
        return max(0, last + 1 - first)


def run(
    plant: Plant,
    policy: Policy,
    set_c: float = 0.0,
    *,
    seconds: int = HALF_AN_HOUR_S,
    seed: int = 0,
    every_s: int = 1,
    room_c: float = 25.0,
    ripples: bool = False,
    observe: Observe = heat,
    other_w: Callable[[int], float] | None = None,
) -> Trace:
    """From a cold start. The policy knows the reading of the second before."""
    laptop = Laptop(plant, room_c, ripples=ripples)
    thermometer = Thermometer(seed, every_s)
    seen = observe(laptop, thermometer.read(laptop.die_c))
    die_c: list[float] = []
    duties: list[float] = []
    tps: list[float] = []
    watts: list[float] = []
    for second in range(seconds):
        if other_w is not None:
            laptop.other_w = other_w(second)
        duty, tokens, joules = policy.duty(seen), laptop.tokens, laptop.joules
        laptop.second(duty)
        seen = observe(laptop, thermometer.read(laptop.die_c))
        die_c.append(laptop.die_c)
        duties.append(duty)
        tps.append(laptop.tokens - tokens)
        watts.append(laptop.joules - joules - PLATFORM_W)
    j_per_token = laptop.joules / laptop.tokens if laptop.tokens else float("inf")
    return Trace(
        set_c, die_c, duties, tps, watts, laptop.hottest_c, j_per_token,
        laptop.throttled_s / seconds, laptop.fan_s / seconds,
    )  # fmt: skip


@dataclass
class Seer:
    """Knows the plant and its heat exactly, which no governor does.

    Each second it works as much as brings the chip to the set-point at the end of it.
    """

    laptop: Laptop
    set_c: float

    def duty(self, seen: Observation) -> float:
        laptop, plant = self.laptop, self.laptop.plant
        into_w = plant.c1_jpk * (self.set_c - laptop.chip_c)
        through_w = (laptop.chip_c - laptop.case_c) / plant.r1_kpw
        watts = (into_w + through_w) / leakage(laptop.chip_c) - plant.idle_w - laptop.other_w
        return min(max(watts / plant.work_w, 0.0), 1.0)


def seer_tokens(plant: Plant, set_c: float, seconds: int = HALF_AN_HOUR_S) -> list[float]:
    """Tokens of each second of the best that is possible below the set-point."""
    laptop = Laptop(plant)
    seer, tps = Seer(laptop, set_c), []
    for _ in range(seconds):
        before = laptop.tokens
        laptop.second(seer.duty(Observation()))
        tps.append(laptop.tokens - before)
    return tps


def oracle_duty(plant: Plant, set_c: float, seconds: int = HALF_AN_HOUR_S) -> float:
    """The highest constant duty that stays below the set-point, found by bisection."""
    low, high = 0.0, 1.0
    while high - low > 1e-3:
        duty = (low + high) / 2
        laptop = Laptop(plant)
        for _ in range(seconds):
            laptop.second(duty)
            if laptop.chip_c > set_c:
                break
        low, high = (low, duty) if laptop.chip_c > set_c else (duty, high)
    return low


def oracle_tokens(plant: Plant, set_c: float, seconds: int = HALF_AN_HOUR_S) -> list[float]:
    """Tokens of each second at that duty."""
    return run(plant, Fixed(oracle_duty(plant, set_c, seconds)), set_c, seconds=seconds).tps


def disturbed(watts: float, begin_s: int, seconds: int) -> Callable[[int], float]:
    """Other work in the middle of it."""
    return lambda second: watts if begin_s <= second < begin_s + seconds else 0.0
