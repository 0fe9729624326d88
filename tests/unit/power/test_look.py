"""From faked machines to what the governor is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from sensor_trees import CPU, EVERYTHING, LAPTOPS, POWERCAP, Files, chip, device, rapl, supply

from lapwing.power.governor.observation import Observation
from lapwing.power.pacing.look import Look
from lapwing.power.sensors import Sensors, discover
from lapwing.power.sensors.tree import Recording

COUNTER = f"{POWERCAP}/intel-rapl:0/energy_uj"
THROTTLE = f"{CPU}/cpu0/thermal_throttle/package_throttle_count"


class Eyes:
    """A machine whose files and time a test moves."""

    def __init__(self, files: Files, **kwargs: Any) -> None:
        self.tree, self.now_s = Recording(files), 100.0
        self.sensors: Sensors = discover(self.tree)
        readings = tuple(
            dataclasses.replace(sensor, clock=lambda: self.now_s)
            for sensor in self.sensors.readings
        )
        self.sensors = dataclasses.replace(self.sensors, readings=readings)
        self.look = Look(self.sensors, clock=lambda: self.now_s, **kwargs)

    def after(self, seconds: float = 0.0, **files: str) -> Observation:
        self.now_s += seconds
        self.tree.files.update(files)
        return self.look.now()

    def writes(self, path: str, value: object) -> None:
        self.tree.files[path] = str(value)


def test_a_whole_machine() -> None:
    eyes = Eyes(EVERYTHING, others=lambda: 0.25)
    eyes.after()
    eyes.writes(COUNTER, 13_500_000)
    assert eyes.after(1.0) == Observation(
        temperature_c=71.0,
        critical_c=100.0,
        thermal_pressure="nominal",
        watts=12.5,
        fan_rpm=3120.0,
        on_battery=False,
        charge=0.5,
        saver=False,
        load=0.25,
        memory_pressure=0.01,
    )
    assert eyes.look.readings["RAPL package"].scope == "package"
    assert {
        "charger",
        "weak charger",
        "thinkpad fan1",
        "CPU clock",
    } & eyes.look.readings.keys() == {
        "charger",
        "weak charger",
        "thinkpad fan1",
    }


def test_a_machine_that_shows_nothing() -> None:
    eyes = Eyes({"proc/version": "Linux"})
    assert eyes.after() == Observation()
    assert "RAPL" in str(eyes.look.readings["watts"].reason)


@pytest.mark.parametrize("name", LAPTOPS)
def test_power_sources(name: str) -> None:
    laptop = LAPTOPS[name]
    seen = Eyes(laptop.files).after()
    assert seen.on_battery is (None if laptop.plugged is None else not laptop.plugged)
    assert seen.charge == pytest.approx(laptop.charge)
    assert seen.watts == pytest.approx(laptop.discharge_w)


def test_a_weak_charger_counts_as_battery_after_a_while() -> None:
    eyes = Eyes(LAPTOPS["undersized charger"].files)
    assert [eyes.after(s).on_battery for s in (0.0, 29.0, 1.0)] == [False, False, True]
    eyes.writes("sys/class/power_supply/BAT0/status", "Charging")
    assert eyes.after(1.0).on_battery is False
    eyes.writes("sys/class/power_supply/BAT0/status", "Discharging")
    assert [eyes.after(s).on_battery for s in (1.0, 29.0, 1.0)] == [False, False, True]
    eyes.writes("sys/class/power_supply/ADP1/online", 0)
    assert eyes.after(1.0).on_battery is True


def test_watts_between_two_looks() -> None:
    eyes = Eyes(rapl("0", "package-0", 1_000_000))
    assert eyes.after().watts is None
    assert "second look" in str(eyes.look.readings["RAPL package"].reason)
    assert eyes.after(1.0).watts is None, "a counter that stands still is no 0 W"
    eyes.writes(COUNTER, 21_000_000)
    assert eyes.after(2.0).watts == pytest.approx(10.0)
    eyes.writes(COUNTER, 30_000_000)
    assert eyes.after(0.05).watts == pytest.approx(10.0), "too soon to say anything new"
    assert eyes.after(0.95).watts == pytest.approx(9.0)
    eyes.writes(COUNTER, 90_000_000)
    assert eyes.after(6.0).watts is None, "a mean over so long is not now"
    assert eyes.look.readings["RAPL package"].reason == "nobody has looked for 6 s"
    eyes.writes(COUNTER, 95_000_000)
    assert eyes.after(1.0).watts == pytest.approx(5.0)


def test_watts_of_a_counter_that_wraps_or_is_reset() -> None:
    eyes = Eyes(rapl("0", "package-0", 99_000_000, 100_000_000))
    eyes.after()
    eyes.writes(COUNTER, 14_000_000)
    assert eyes.after(1.0).watts == pytest.approx(15.0)
    eyes = Eyes(rapl("0", "package-0", 99_000_000, None))
    eyes.after()
    eyes.writes(COUNTER, 14_000_000)
    assert eyes.after(1.0).watts is None
    assert "no counter that wraps" in str(eyes.look.readings["RAPL package"].reason)


def test_watts_of_a_counter_that_fails_for_a_moment() -> None:
    eyes = Eyes(rapl("0", "package-0", 1_000_000))
    eyes.after()
    eyes.tree.files[COUNTER] = PermissionError(13, "no")
    assert eyes.after(1.0).watts is None
    assert eyes.look.readings["RAPL package"].reason == "permission denied"
    eyes.writes(COUNTER, 5_000_000)
    assert eyes.after(1.0).watts is None
    eyes.writes(COUNTER, 9_000_000)
    assert eyes.after(1.0).watts == pytest.approx(4.0)


def test_watts_of_gauges() -> None:
    apu = chip(1, "amdgpu", power1_average=17_000_000, in1_label="vddnb")
    on_battery = LAPTOPS["two batteries, the first empty"].files
    assert Eyes(apu | on_battery).after().watts == 17.0, "the package before the machine"
    card = chip(1, "amdgpu", power1_average=17_000_000, in0_label="vddgfx")
    assert Eyes(card | on_battery).after().watts == 14.0, "a graphics card is no package"
    assert Eyes(LAPTOPS["charge limit reached, adapter ADP1"].files).after().watts is None


def test_the_first_temperature_of_the_processor_that_has_one() -> None:
    eyes = Eyes(EVERYTHING)
    path = "sys/class/hwmon/hwmon3/temp1_input"
    eyes.writes(path, 255_000)
    seen = eyes.after()
    assert (seen.temperature_c, seen.critical_c) == (70.0, None), "the next one's, with its limit"
    assert Eyes(chip(0, "nvme", temp1_input=41_000)).after().temperature_c is None


def test_a_stuck_temperature_is_none() -> None:
    eyes = Eyes(chip(3, "coretemp", temp1_input=71_000, temp1_label="Package id 0"))
    seen = [eyes.after(20.0).temperature_c for _ in range(12)]
    assert (seen[0], seen[8], seen[-1]) == (71.0, 71.0, None)


def test_the_fastest_fan() -> None:
    fans = chip(1, "dell_smm", fan1_input=2100, fan2_input=2600, fan3_input=65_535)
    assert Eyes(fans).after().fan_rpm == 2600.0


def test_throttling() -> None:
    eyes = Eyes(device(f"{CPU}/cpu0/thermal_throttle", package_throttle_count=9))
    assert eyes.after().thermal_pressure is None, "since boot is not now"
    assert eyes.after(1.0).thermal_pressure == "nominal"
    eyes.writes(THROTTLE, 12)
    assert eyes.after(1.0).thermal_pressure == "moderate"
    assert eyes.after(1.0).thermal_pressure == "nominal"
    eyes.writes(THROTTLE, 15)
    assert eyes.after(6.0).thermal_pressure is None, "nobody knows when"


@pytest.mark.parametrize(
    ("number", "level"),
    [(0, "nominal"), (1, "moderate"), (2, "heavy"), (3, "trapping"), (4, "trapping"), (9, None)],
)
def test_levels_of_macos(number: int, level: str | None) -> None:
    files = {"macos/thermal_pressure": f"com.apple.system.thermalpressurelevel {number}"}
    assert Eyes(files).after().thermal_pressure == level


@pytest.mark.parametrize(("limit", "level"), [(3000, "nominal"), (1800, "moderate")])
def test_clock_limits_of_windows(limit: int, level: str) -> None:
    information = b"".join(n.to_bytes(4, "little") for n in (0, 3000, 2000, limit, 1, 1))
    files = {"windows/processor_power_information": information.hex()}
    assert Eyes(files).after().thermal_pressure == level


@pytest.mark.parametrize(
    ("files", "saver"),
    [
        (device("sys/firmware/acpi", platform_profile="low-power"), True),
        (device("sys/firmware/acpi", platform_profile="performance"), False),
        (device(f"{CPU}/cpu0/cpufreq", energy_performance_preference="power"), True),
        (device(f"{CPU}/cpu0/cpufreq", energy_performance_preference="balance_power"), False),
        (device(f"{CPU}/cpu0/cpufreq", scaling_governor="powersave"), None),
        ({"windows/system_power_status": "0001320100000000ffffffff"}, True),
        ({"windows/system_power_status": "0001320000000000ffffffff"}, False),
    ],
)
def test_savers(files: Files, saver: bool | None) -> None:
    assert Eyes(files).after().saver is saver


def test_no_plugs_at_all() -> None:
    mouse = supply("mouse", "Battery", scope="Device", online=1, capacity=7)
    assert Eyes(mouse).after().on_battery is None


def test_old_values_are_none() -> None:
    eyes = Eyes(EVERYTHING)
    old = tuple(dataclasses.replace(sensor, clock=lambda: 90.0) for sensor in eyes.sensors.readings)
    sensors = dataclasses.replace(eyes.sensors, readings=old, energy=())
    assert Look(sensors, clock=lambda: 100.0).now() == Observation(critical_c=100.0)
    assert Look(sensors, clock=lambda: 94.0).now().temperature_c == 71.0
