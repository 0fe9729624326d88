"""Temperatures, fans, clocks, throttling, settings and pressure of faked machines."""

from __future__ import annotations

from typing import Any

import pytest
from sensor_trees import CPU, EVERYTHING, HWMON, Files, chip, device

from lapwing.power.sensors import Reading, discover
from lapwing.power.sensors.tree import Recording


def zone(number: int, kind: str, **attributes: object) -> Files:
    return device(f"sys/class/thermal/thermal_zone{number}", type=kind, **attributes)


def first(files: Files, quantity: Any) -> Reading[Any] | None:
    sensor = discover(Recording(files)).first(quantity)
    return None if sensor is None else sensor.read()


def test_everything() -> None:
    sensors = discover(Recording(EVERYTHING))
    now = {name: reading.value for name, reading in sensors.read().items()}
    assert now == {
        "coretemp Package id 0": 71.0,
        "coretemp Core 0": 69.0,
        "thinkpad CPU": 70.0,
        "acpitz temp1": 35.0,
        "nvme Composite": 41.85,
        "thinkpad fan1": 3120.0,
        "charger": True,
        "weak charger": True,
        "battery charge": 0.5,
        "battery status": "Discharging",
        "battery discharge": 14.0,
        "CPU clock": 2000.0,
        "package throttle count": 9.0,
        "core throttle count": 5.0,
        "package throttle time": 1.5,
        "platform profile": "balanced",
        "governor": "powersave",
        "energy preference": "balance_performance",
        "turbo": "on",
        "cpu pressure (some)": 0.125,
        "memory pressure (some)": 0.01,
        "memory pressure (full)": 0.005,
        "io pressure (some)": 0.0,
    }
    temperature, clock = sensors.first("temperature"), sensors.first("frequency")
    assert temperature is not None
    assert clock is not None
    assert (temperature.scope, temperature.limit) == ("package", 100.0)
    assert clock.limit == 4800.0


@pytest.mark.parametrize(
    ("files", "value", "scope"),
    [
        (chip(0, "k10temp", temp1_input=60_125, temp1_label="Tctl"), 60.125, "package"),
        (
            chip(
                0,
                "k10temp",
                temp1_input=80_000,  # with the offset of some desktops
                temp1_label="Tctl",
                temp2_input=60_000,
                temp2_label="Tdie",
            ),
            60.0,
            "package",
        ),
        (
            chip(0, "coretemp", temp2_input=50_000, temp2_label="Core 0")
            | chip(1, "acpitz", temp1_input=30_000),
            50.0,
            "cores",
        ),
        (
            chip(0, "nvme", temp1_input=41_000) | zone(0, "x86_pkg_temp", temp=72_000),
            72.0,
            "package",
        ),
        (zone(0, "acpitz", temp=33_000) | zone(7, "soc-thermal", temp=44_000), 44.0, "package"),
        (zone(0, "acpitz", temp=33_000), 33.0, "board"),  # named as what it is
        (chip(0, "acpitz", temp1_input=27_800), 27.8, "board"),
        (chip(0, "k10temp", temp1_input=-273_150), None, "package"),
        (chip(0, "amdgpu", temp1_input=51_000, temp1_label="edge"), 51.0, "gpu"),
    ],
)
def test_which_temperature_is_the_processors(files: Files, value: float | None, scope: str) -> None:
    reading = first(files, "temperature")
    assert reading is not None
    assert (reading.value, reading.scope, reading.unit) == (value, scope, "°C")


def test_two_chips_of_one_name_are_told_apart() -> None:
    files = chip(0, "nvme", temp1_input=41_000) | chip(1, "nvme", temp1_input=52_000)
    now = discover(Recording(files)).read(["temperature"])
    assert {name: reading.value for name, reading in now.items()} == {
        "nvme temp1": 41.0,
        "nvme temp1 (2)": 52.0,
    }


def test_a_zone_that_is_critical() -> None:
    files = zone(
        0,
        "x86_pkg_temp",
        temp=72_000,
        trip_point_0_type="passive",
        trip_point_0_temp=95_000,
        trip_point_1_type="critical",
        trip_point_1_temp=105_000,
    )
    sensor = discover(Recording(files)).first("temperature")
    assert sensor is not None
    assert sensor.limit == 105.0


@pytest.mark.parametrize("limit", ["0", "255500", "-1", "", "65261850"])
def test_critical_temperatures_that_are_none(limit: str) -> None:
    files = chip(0, "k10temp", temp1_input=50_000, temp1_crit=limit)
    sensor = discover(Recording(files)).first("temperature")
    assert sensor is not None
    assert sensor.limit is None


def test_a_sleeping_device_is_not_read() -> None:
    folder = f"{HWMON}/hwmon4"
    files = chip(4, "amdgpu", temp1_input=50_000, power1_average=9_000_000)
    files |= {f"{folder}/device/power/runtime_status": "suspended"}
    tree = Recording(files)
    tree.files[f"{folder}/temp1_input"] = AssertionError("it was read")  # type: ignore[assignment]
    sensors = discover(tree)
    assert sensors.of("temperature") == sensors.of("power") == ()
    assert "amdgpu: asleep; reading it would wake it" in sensors.why_not("temperature")


@pytest.mark.parametrize(("label", "scope"), [("vddnb", "package"), ("vddgfx", "gpu")])
def test_an_apu_tells_the_packages_power(label: str, scope: str) -> None:
    sensors = discover(Recording(chip(1, "amdgpu", power1_average=17_250_000, in1_label=label)))
    (source,) = sensors.energy
    assert (source.scope, source.kind, source.read()) == (scope, "gauge", (17.25,))
    assert (sensors.energy_source() is source) == (scope == "package")
    power = sensors.first("power")
    assert power is not None
    assert power.read().value == 17.25


def cpuinfo(flags: str) -> Files:
    return {"proc/cpuinfo": f"cpu MHz\t\t: 1000.5\nflags\t\t: fpu {flags}\ncpu MHz : 2000.5\n"}


def test_the_clock_of_a_virtual_machine_is_an_estimate() -> None:
    reading = first(cpuinfo("hypervisor"), "frequency")
    assert reading is not None
    assert (reading.value, reading.quality) == (1500.5, "estimated")
    assert reading.reason == "a virtual machine is told the nominal clock"
    real = first(cpuinfo("avx2"), "frequency")
    assert real is not None
    assert (real.value, real.quality, real.reason) == (1500.5, "measured", None)


def test_a_cpu_that_goes_offline_is_left_out() -> None:
    tree = Recording(EVERYTHING)
    clock = discover(tree).first("frequency")
    assert clock is not None
    tree.files[f"{CPU}/cpu1/cpufreq/scaling_cur_freq"] = FileNotFoundError(2, "gone")
    assert clock.read().value == 3000.0
    del tree.files[f"{CPU}/cpu1/cpufreq/scaling_cur_freq"]
    del tree.files[f"{CPU}/cpu0/cpufreq/scaling_cur_freq"]
    assert clock.read().reason == "no CPU tells its clock (any more)"


@pytest.mark.parametrize(
    ("files", "turbo"),
    [
        ({f"{CPU}/intel_pstate/no_turbo": "1"}, "off"),
        ({f"{CPU}/cpufreq/boost": "1"}, "on"),
        ({f"{CPU}/cpufreq/boost": "0"}, "off"),
    ],
)
def test_turbo(files: Files, turbo: str) -> None:
    reading = discover(Recording(files)).read(["profile"])["turbo"]
    assert reading.value == turbo


@pytest.mark.parametrize("text", ["", "some", "some avg10=x", "full avg10=1.00", "some avg10=1e9"])
def test_pressure_that_is_none(text: str) -> None:
    sensors = discover(Recording({"proc/pressure/cpu": text}))
    assert sensors.of("pressure") == ()
    assert "cpu pressure (some): it has no line 'some avg10=…'" in sensors.why_not("pressure")


def test_pressure_that_is_switched_off() -> None:
    tree = Recording({})
    tree.files["proc/pressure/cpu"] = OSError(95, "not supported")
    assert "cpu pressure (some): the system says" in discover(tree).why_not("pressure")
