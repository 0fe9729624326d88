"""`step`: pure, bounded, and in a closed loop with a simulated laptop it holds a temperature."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapwing.power.governor.command import Command
from lapwing.power.governor.memory import Memory
from lapwing.power.governor.observation import Observation
from lapwing.power.governor.settings import Mode, Settings
from lapwing.power.governor.state import State
from lapwing.power.governor.step import step
from lapwing.power.governor.temperature import Heat

maybe = st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32)
observations = st.builds(
    Observation,
    temperature_c=maybe,
    critical_c=st.none() | st.floats(60, 120),
    thermal_pressure=st.sampled_from([None, "nominal", "moderate", "heavy", "trapping"]),
    watts=maybe,
    fan_rpm=maybe,
    on_battery=st.sampled_from([None, False, True]),
    charge=st.none() | st.floats(0, 1),
    slowdown=maybe,
    memory_pressure=st.none() | st.floats(0, 1),
)
settings = st.builds(
    Settings,
    mode=st.sampled_from(["observe", "performance", "balanced", "quiet", "battery", "background"]),
    max_temp_c=st.none() | st.floats(40, 100),
    max_watts=st.none() | st.floats(1, 100),
    power=st.floats(0.01, 1),
)


@given(st.lists(observations, min_size=1, max_size=8), settings, st.floats(0.01, 10))
def test_whatever_is_seen_the_command_is_in_bounds(
    seen: list[Observation], wanted: Settings, dt: float
) -> None:
    state = State(Observation(), settings=wanted)
    for each in seen:
        state = replace(state, seen=each)
        command = step(state, dt)
        assert command == step(state, dt)
        assert 0.0 <= command.duty <= 1.0
        assert command.duty <= wanted.power
        state = replace(state, memory=command.memory)


class Laptop:
    """Thin, with firmware left out: two thermal masses, 26 W of work (power.md §3.3, U15)."""

    R1, C1, R2, C2 = 0.8, 15.0, 2.0, 150.0
    IDLE_W, WORK_W, DT = 3.0, 26.0, 0.05

    def __init__(self, seed: int = 0, scale: float = 1.0) -> None:
        self.chip_c = self.case_c = 25.0
        self.other_w, self.scale = 0.0, scale
        self._noise = random.Random(seed)

    def advance(self, duty: float) -> float:
        """One second at this duty → what the sensor shows."""
        for _ in range(round(1 / self.DT)):
            leak = 1 + 0.003 * (self.chip_c - 50)
            watts = (self.IDLE_W + duty * self.WORK_W * self.scale + self.other_w) * leak
            across = (self.chip_c - self.case_c) / self.R1
            self.chip_c += self.DT * (watts - across) / self.C1
            self.case_c += self.DT * (across - (self.case_c - 25.0) / self.R2) / self.C2
        return float(round(self.chip_c + self._noise.gauss(0, 0.5)))


def run(laptop: Laptop, wanted: Settings, seconds: int) -> tuple[list[float], list[Command]]:
    """Temperatures of the chip and commands, second by second."""
    state, temperatures, commands = State(Observation(), settings=wanted), [], []
    for _ in range(seconds):
        command = step(state, 1.0)
        shown = laptop.advance(command.duty)
        seen = Observation(temperature_c=shown, critical_c=100.0)
        state = replace(state, memory=command.memory, seen=seen)
        temperatures.append(laptop.chip_c)
        commands.append(command)
    return temperatures, commands


def test_without_a_limit_nothing_is_slowed_until_the_guard() -> None:
    temperatures, commands = run(Laptop(scale=0.7), Settings(), 1800)
    assert max(temperatures) < 97 - 2
    assert all(command.duty == 1.0 and not command.reasons for command in commands)


@pytest.mark.parametrize("seed", range(10))
def test_a_temperature_is_held(seed: int) -> None:
    temperatures, commands = run(Laptop(seed), Settings(max_temp_c=85.0), 1800)
    assert max(temperatures) <= 85 + 3
    late = temperatures[600:]
    assert (sum((each - 85) ** 2 for each in late) / len(late)) ** 0.5 <= 0.5
    assert 0.1 < commands[-1].duty < 1.0
    assert any("°C" in why for command in commands for why in command.reasons)


def test_other_work_is_made_room_for() -> None:
    laptop, wanted = Laptop(), Settings(mode="balanced", max_temp_c=85.0)
    state, hottest = State(Observation(), settings=wanted), 0.0
    for second in range(1800):
        laptop.other_w = 8.0 if 900 <= second < 1200 else 0.0
        command = step(state, 1.0)
        seen = Observation(temperature_c=laptop.advance(command.duty), critical_c=100.0)
        state = replace(state, memory=command.memory, seen=seen)
        hottest = max(hottest, laptop.chip_c)
    assert hottest <= 85 + 4


def test_the_guard_stops_and_goes_on_gently() -> None:
    state = State(Observation(temperature_c=98.0, critical_c=100.0))
    command = step(state, 1.0)
    assert command.duty == 0.0
    waited = 0
    while command.duty == 0.0:
        state = replace(state, memory=command.memory)
        command, waited = step(state, 1.0), waited + 1
    assert waited <= 30
    assert command.duty == pytest.approx(0.1)


def test_quiet_is_cooler_than_balanced() -> None:
    quiet, _ = run(Laptop(), Settings(mode="quiet"), 1800)
    balanced, _ = run(Laptop(), Settings(mode="balanced"), 1800)
    assert quiet[-1] == pytest.approx(70, abs=1.5)
    assert balanced[-1] == pytest.approx(88, abs=1.5)


def test_battery_mode_follows_the_source_and_charge() -> None:
    wanted = Settings(follow=True)
    on = State(Observation(on_battery=True, charge=0.3), settings=wanted, knee_threads=2)
    command = step(on, 1.0)
    assert (command.mode, command.precision, command.threads) == ("battery", "int4", 2)
    assert command.qos == "efficient"
    assert command.reasons == ("int4: battery 30%",)
    off = step(replace(on, seen=Observation(on_battery=False, charge=0.3)), 1.0)
    assert (off.mode, off.precision, off.threads) == ("observe", None, None)


def test_the_floor_of_the_battery() -> None:
    low = State(Observation(on_battery=True, charge=0.10))
    command = step(low, 1.0)
    assert (command.duty, command.precision, command.admit) == (0.5, "int4", False)
    empty = State(Observation(on_battery=True, charge=0.04), settings=Settings(mode="battery"))
    assert step(empty, 1.0).stop == "battery"


@pytest.mark.parametrize(
    ("joules", "precision", "stop"),
    [(79.0, None, None), (80.0, "int4", None), (100.0, None, "energy_budget")],
)
def test_a_budget_of_energy(joules: float, precision: str | None, stop: str | None) -> None:
    state = State(Observation(joules=joules), settings=Settings(energy_budget_j=100.0))
    assert (step(state, 1.0).precision, step(state, 1.0).stop) == (precision, stop)


def test_the_first_seconds_of_a_waiting_user_are_free_of_pauses() -> None:
    warm = Heat(integral=0.5, duty=0.5, told=0.5)  # by an earlier request
    held = Memory(duty=0.5, heat=warm)
    wanted = Settings(max_temp_c=85.0)
    cool = Observation(temperature_c=50.0, interactive_s=1.0)
    assert step(State(cool, held, wanted), 1.0).duty == 1.0
    hot = step(State(replace(cool, temperature_c=84.0), held, wanted), 1.0)
    assert (hot.duty, hot.exempt) == (0.5, False)
    later = replace(cool, interactive_s=3.0)
    assert step(State(later, held, wanted), 1.0).duty == 0.5


def test_the_share_that_a_user_asked_for_holds_from_the_first_second_on() -> None:
    cool = Observation(temperature_c=50.0, interactive_s=1.0)
    assert step(State(cool, settings=Settings(power=0.5)), 1.0).duty == 0.5


def test_memory_pressure_sheds_caches() -> None:
    assert step(State(Observation(memory_pressure=0.2)), 1.0).shed
    assert not step(State(Observation(memory_pressure=0.01)), 1.0).shed


def held(seen: Observation, seconds: int, settings: Settings) -> Command:
    """The command after so many equal seconds."""
    state = State(seen, settings=settings)
    for _ in range(seconds):
        command = step(state, 1.0)
        state = replace(state, memory=command.memory)
    return command


def test_token_times_alone_never_ask_for_less_than_half() -> None:
    """Clocks that are low for another reason do not come back by pauses."""
    slow = held(Observation(slowdown=0.8), 600, Settings(mode="balanced"))
    assert slow.duty == 0.5
    assert slow.reasons == ("tokens have become slower",)
    told = held(Observation(thermal_pressure="heavy"), 600, Settings(mode="balanced"))
    assert told.duty == pytest.approx(0.1)  # what the system says of its heat goes further


def test_token_times_beside_busy_processes_tell_nothing() -> None:
    seen = Observation(slowdown=0.8, load=0.5)
    assert held(seen, 60, Settings(mode="balanced")).duty == 1.0


@pytest.mark.parametrize(
    ("mode", "expected"), [("quiet", "int4"), ("battery", "int4"), ("balanced", None)]
)
def test_heat_in_modes_that_save(mode: Mode, expected: str | None) -> None:
    """Before ever longer pauses come half the bytes."""
    hot = held(Observation(temperature_c=95.0, critical_c=105.0), 60, Settings(mode=mode))
    assert hot.duty < 0.7
    assert hot.precision == expected
    assert ("int4: heat" in hot.reasons) is (expected is not None)
    never = Settings(mode=mode, switch_at="never")
    seen = Observation(temperature_c=95.0, critical_c=105.0)
    assert held(seen, 60, never).precision is None


def test_a_flapping_plug_under_auto_switches_once() -> None:
    state = State(Observation(), settings=Settings(follow=True))
    told = []
    for at in range(1200):
        seen = Observation(on_battery=bool(at // 7 % 2), charge=0.35)
        command = step(replace(state, seen=seen), 1.0)
        state = replace(state, memory=command.memory)
        told.append(command.precision)
    assert sum(a != b for a, b in pairwise(told)) == 1
    assert told[-1] == "int4"


def test_mains_bring_int8_back_after_a_minute() -> None:
    low = Observation(on_battery=True, charge=0.35)
    state = State(low, settings=Settings(follow=True))
    for _ in range(400):
        command = step(state, 1.0)
        state = replace(state, memory=command.memory)
    assert command.precision == "int4"
    state = replace(state, seen=replace(low, on_battery=False))
    told = []
    for _ in range(90):
        command = step(state, 1.0)
        state = replace(state, memory=command.memory)
        told.append(command.precision)
    assert told.index(None) == 59  # a minute
    assert told[59:] == [None] * 31


def test_by_default_only_a_collapse_that_lasts_counts() -> None:
    """A shared machine is slow for seconds; a hot one for minutes."""
    state = State(Observation(slowdown=0.8))
    for seconds in range(1, 12):
        command = step(state, 1.0)
        assert (command.duty < 1.0) is (seconds >= 10), seconds
        state = replace(state, memory=command.memory)
    brief = State(Observation(slowdown=0.8))
    for at in range(60):
        seen = Observation(slowdown=0.8 if at % 9 else 0.0)
        command = step(replace(brief, seen=seen), 1.0)
        brief = replace(brief, memory=command.memory)
        assert command.duty == 1.0
