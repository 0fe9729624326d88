"""Laptops that are not there: two thermal masses with a firmware, a thermometer, and random kin.

Constants are plausible, none was identified on a machine. A chip (heat pipe included) of C1 J/K is
warmed by P and gives it on over R1 K/W to a chassis of C2, which gives it on over R2 to the room:

    C1 dT1/dt = P - (T1 - T2)/R1        C2 dT2/dt = (T1 - T2)/R1 - (T2 - room)/R2
    P = (idle + work (0.35 f + 0.65 f³) + other) (1 + 0.003 (T1 - 50))      leakage grows with heat
    tokens per second = full / (0.4/f + 0.6)      0.6 of a token's time waits for memory

in steps of 50 ms. f is the clock, 1 at full turbo, which firmware lowers: `smooth` ones hold their
limit, the `collapsing` one goes to 5 % of the speed until the chip is 25 °C cooler (mlx-examples
PR 1078 tells of a fanless laptop whose 30 W became 1 W for two minutes). Plain floats, no NumPy:
half an hour takes a tenth of a second.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Literal

DT_S = 0.05
TICKS = round(1 / DT_S)
PLATFORM_W = 5.0  # screen, memory, disk: counted in joules, not in heat
LEAK = 0.003  # per °C
LEAK_FROM_C = 50.0
CLOCK_SHARE = 0.4  # of a token's time that the clock changes; the rest waits for memory

COLLAPSED_CLOCK = CLOCK_SHARE / (1 / 0.05 - (1 - CLOCK_SHARE))  # 5 % of the speed
COLLAPSED_C = 25.0
HOLD_GAIN, HOLD_INTEGRAL = 0.1, 0.005  # of the smooth firmware: clock per °C, and per °C and second
LOWEST_CLOCK = 0.2

FAN_ON_C, FAN_OFF_C = 75.0, 65.0
FAN_RPM = 4000.0

RIPPLE_KPW, RIPPLE_S = 0.3, 0.2  # of the die itself, above what the heat pipe holds


@dataclass(frozen=True)
class Plant:
    """A laptop's constants. full_tps: tokens per second at full clock and duty.

    throttle_c: where its firmware acts; fan_kpw: R2 while the fan runs, None: there is none.
    """

    name: str
    r1_kpw: float
    c1_jpk: float
    r2_kpw: float
    c2_jpk: float
    work_w: float
    full_tps: float
    throttle_c: float
    idle_w: float = 1.5
    firmware: Literal["smooth", "collapsing", "none"] = "smooth"
    fan_kpw: float | None = None

    def held_at(self, set_c: float, room_c: float = 25.0) -> float:
        """The duty that holds this temperature for ever, by the equations above; may be above 1."""
        watts = (set_c - room_c) / (self.r1_kpw + self.r2_kpw) / leakage(set_c)
        return (watts - self.idle_w) / self.work_w


U15 = Plant("U15", 0.8, 15.0, 2.0, 150.0, 26.0, 12.0, 95.0)  # thin
U15_FAN = replace(U15, name="U15 with a fan", fan_kpw=1.3)
AIR = Plant("AIR", 1.2, 20.0, 4.0, 350.0, 24.0, 12.0, 100.0, firmware="collapsing")  # fanless
H45 = Plant("H45", 0.35, 40.0, 0.85, 300.0, 65.0, 28.0, 95.0, 3.0)  # creators'
NAMED = (U15, AIR, H45)


def leakage(chip_c: float) -> float:
    """Watts over those of a chip of 50 °C."""
    return 1.0 + LEAK * (chip_c - LEAK_FROM_C)


def random_plants(count: int, set_c: float, seed: int = 0) -> list[Plant]:
    """Kin of the named ones: R1, C1, R2, C2 and watts times ½ to 2 (evenly on a log scale).

    Without firmware, which would hide what a governor lets through. Those that reach `set_c` by
    less than 5 °C or cannot hold it at twice the least duty are drawn again: they test nothing.
    """
    found: list[Plant] = []
    draw = random.Random(seed)
    while len(found) < count:
        base = NAMED[len(found) % len(NAMED)]
        r1, c1, r2, c2, watts = (2 ** draw.uniform(-1, 1) for _ in range(5))
        plant = replace(
            base,
            name=f"{base.name} {len(found)}",
            r1_kpw=base.r1_kpw * r1,
            c1_jpk=base.c1_jpk * c1,
            r2_kpw=base.r2_kpw * r2,
            c2_jpk=base.c2_jpk * c2,
            work_w=base.work_w * watts,
            firmware="none",
        )
        if plant.held_at(set_c + 5.0) < 1.0 and plant.held_at(set_c) > 0.2:
            found.append(plant)
    return found


class Laptop:
    """A plant in time.

    Work is paced as the engine's: pieces of it, then the pause that is owed, at most twice a piece
    from a third of duty upwards; what is owed is carried.
    """

    __slots__ = (
        "_held",
        "_owed_s",
        "case_c",
        "chip_c",
        "clock",
        "collapsed",
        "fan_on",
        "fan_s",
        "hottest_c",
        "joules",
        "other_w",
        "plant",
        "ripple_c",
        "ripples",
        "room_c",
        "throttled_s",
        "tokens",
        "worked_s",
    )  # fmt: skip

    def __init__(self, plant: Plant, room_c: float = 25.0, *, ripples: bool = False) -> None:
        self.plant, self.room_c, self.ripples = plant, room_c, ripples
        self.chip_c = self.case_c = self.hottest_c = room_c
        self.ripple_c = self.other_w = 0.0
        self.tokens = self.joules = self.worked_s = self.throttled_s = self.fan_s = 0.0
        self.clock = self._held = 1.0
        self._owed_s = 0.0
        self.collapsed = self.fan_on = False

    @property
    def die_c(self) -> float:
        """What a thermometer on the die would show."""
        return self.chip_c + self.ripple_c

    @property
    def speed(self) -> float:
        """Of a token at this clock, over that at full turbo."""
        return 1.0 / (CLOCK_SHARE / self.clock + 1.0 - CLOCK_SHARE)

    def second(self, duty: float) -> None:
        """One second of work at this duty; 0: none is done."""
        plant, room_c, other_w = self.plant, self.room_c, self.other_w
        chip_c, case_c, owed_s, ripple_c = self.chip_c, self.case_c, self._owed_s, self.ripple_c
        per_r1, per_c1, per_c2 = 1 / plant.r1_kpw, DT_S / plant.c1_jpk, DT_S / plant.c2_jpk
        idle_w = plant.idle_w + other_w
        debt = (1.0 - duty) / duty if duty > 0.0 else 0.0
        worked_s = tokens = joules = 0.0
        hottest_c = self.hottest_c
        fan_kpw, ripples = plant.fan_kpw, self.ripples
        per_r2 = 1 / (fan_kpw if fan_kpw and self.fan_on else plant.r2_kpw)
        clock, speed, work_w = self.clock, self.speed, self._work_w()
        firmware_from_c = math.inf if plant.firmware == "none" else plant.throttle_c - 0.5
        for _ in range(TICKS):
            if chip_c > firmware_from_c or clock < 1.0:
                self._firmware(chip_c)
                clock, speed, work_w = self.clock, self.speed, self._work_w()
                if clock < 1.0:
                    self.throttled_s += DT_S
            if duty <= 0.0 or owed_s >= DT_S:
                piece_s = 0.0
                owed_s -= DT_S if duty > 0.0 else 0.0
            else:
                piece_s = DT_S - owed_s
                owed_s = piece_s * debt
            watts = (idle_w + piece_s / DT_S * work_w) * (1.0 + LEAK * (chip_c - LEAK_FROM_C))
            across_w = (chip_c - case_c) * per_r1
            if ripples:
                ripple_c += DT_S / RIPPLE_S * (RIPPLE_KPW * watts - ripple_c)
            chip_c += per_c1 * (watts - across_w)
            case_c += per_c2 * (across_w - (case_c - room_c) * per_r2)
            if chip_c + ripple_c > hottest_c:
                hottest_c = chip_c + ripple_c
            worked_s += piece_s
            tokens += piece_s * speed
            joules += watts
            if fan_kpw and (chip_c >= FAN_ON_C or self.fan_on):
                self.fan_on = chip_c > FAN_OFF_C
                per_r2 = 1 / (fan_kpw if self.fan_on else plant.r2_kpw)
                self.fan_s += DT_S * self.fan_on
        self.chip_c, self.case_c, self._owed_s, self.ripple_c = chip_c, case_c, owed_s, ripple_c
        self.hottest_c = hottest_c
        self.worked_s += worked_s
        self.tokens += tokens * plant.full_tps
        self.joules += joules * DT_S + PLATFORM_W

    def _work_w(self) -> float:
        clock = self.clock
        return self.plant.work_w * (0.35 * clock + 0.65 * clock**3)

    def _firmware(self, chip_c: float) -> None:
        """The clock, from the chip's temperature."""
        limit_c = self.plant.throttle_c
        if self.plant.firmware == "collapsing":
            self.collapsed = chip_c >= limit_c or (
                self.collapsed and chip_c > limit_c - COLLAPSED_C
            )
            self.clock = COLLAPSED_CLOCK if self.collapsed else 1.0
        elif self.plant.firmware == "smooth":
            over_c = chip_c - limit_c
            self._held = min(max(self._held - HOLD_INTEGRAL * over_c * DT_S, LOWEST_CLOCK), 1.0)
            self.clock = min(max(self._held - HOLD_GAIN * over_c, LOWEST_CLOCK), 1.0)


class Thermometer:
    """Steps of 1 °C, noise of 0.5 °C, and a value that is held for `every_s`."""

    __slots__ = ("_due_s", "_every_s", "_noise", "_shown_c")

    def __init__(self, seed: int = 0, every_s: int = 1) -> None:
        self._noise, self._every_s = random.Random(seed), every_s
        self._due_s, self._shown_c = 0, 0.0

    def read(self, die_c: float) -> float:
        """Once a second."""
        if self._due_s == 0:
            self._shown_c = float(round(die_c + self._noise.gauss(0.0, 0.5)))
            self._due_s = self._every_s
        self._due_s -= 1
        return self._shown_c
