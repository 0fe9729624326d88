"""Chargers and batteries of faked laptops."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sensor_trees import LAPTOPS, SUPPLY, Laptop, build, supply

from lapwing.power.sensors import Meter, Sensors, discover
from lapwing.power.sensors.supply import power_source
from lapwing.power.sensors.tree import Disk, Recording


def value(sensors: Sensors, quantity: str) -> object:
    sensor = sensors.first(quantity)  # type: ignore[arg-type]
    if sensor is None:
        assert sensors.why_not(quantity)  # type: ignore[arg-type]
        return None
    reading = sensor.read()
    assert (reading.value is None) == (reading.reason is not None)
    return reading.value


@pytest.mark.parametrize("name", LAPTOPS)
def test_laptops(tmp_path: Path, name: str) -> None:
    laptop: Laptop = LAPTOPS[name]
    for sensors in (
        discover(build(tmp_path, laptop.files)),
        discover(tmp_path / "sys") if (tmp_path / "sys").is_dir() else discover(tmp_path),
        discover(Recording(laptop.files)),
    ):
        assert value(sensors, "plugged") is laptop.plugged
        assert value(sensors, "charge") == pytest.approx(laptop.charge)
        assert value(sensors, "power") == pytest.approx(laptop.discharge_w)
        assert value(sensors, "undersized") is laptop.is_undersized


def test_a_container_says_why() -> None:
    sensors = discover(Recording({"proc/version": "Linux"}))
    assert sensors.first("plugged") is None
    assert sensors.why_not("plugged") == (
        "power supply: the kernel shows no power supply (a desktop, a virtual machine or a "
        "container)"
    )


def test_a_battery_that_vanishes(tmp_path: Path) -> None:
    laptop = LAPTOPS["two batteries, the first empty"]
    sensors = discover(build(tmp_path, laptop.files))
    assert value(sensors, "charge") == pytest.approx(laptop.charge)
    shutil.rmtree(tmp_path / SUPPLY / "BAT0")
    assert value(sensors, "charge") == pytest.approx(0.97)
    shutil.rmtree(tmp_path / SUPPLY / "BAT1")
    charge = sensors.first("charge")
    assert charge is not None
    reading = charge.read()
    assert (reading.value, reading.quality) == (None, "unavailable")
    assert reading.reason == "there is no battery (any more)"
    (gauge,) = (source for source in sensors.energy if source.name == "battery gauge")
    with Meter(gauge) as meter:
        pass
    assert meter.energy.joules is None
    assert meter.energy.reason == "there is no battery (any more), after 0.0 s"


@pytest.mark.parametrize(
    ("attributes", "watts"),
    [
        ({"power_now": -9_000_000}, 9.0),  # some firmware signs it
        ({"power_now": ""}, None),
        ({"power_now": 0}, None),
        ({"power_now": "", "current_now": 500_000, "voltage_now": 8_000_000}, 4.0),
        ({}, None),
        ({"power_now": 999_000_000}, None),
        ({"power_now": "9" * 40}, None),
    ],
)
def test_discharge(attributes: dict[str, object], watts: float | None) -> None:
    files = supply("BAT0", "Battery", status="Discharging", **attributes)
    assert value(discover(Recording(files)), "power") == watts


def test_an_empty_bay_is_no_battery() -> None:
    files = supply("BAT1", "Battery", present=0, status="Unknown")
    assert discover(Recording(files)).first("charge") is None


@pytest.mark.parametrize("full", [0, -5, "", "x"])
def test_a_full_charge_that_is_none_falls_back_to_percent(full: object) -> None:
    files = supply("BAT0", "Battery", energy_now=5, energy_full=full, capacity=42, status="Full")
    assert value(discover(Recording(files)), "charge") == 0.42


@pytest.mark.parametrize(
    ("supplies", "source"),
    [
        ({}, None),
        ({"AC": ("Mains", "1"), "BAT0": ("Battery", None)}, "mains"),
        ({"AC": ("Mains", "0"), "BAT0": ("Battery", None)}, "battery"),
        ({"AC": ("Mains", "0"), "ucsi": ("USB", "1")}, "mains"),
        ({"pad": ("Wireless", "1")}, "mains"),
        ({"ucsi": ("USB", "0")}, None),  # a socket that feeds others, perhaps
        ({"mouse": ("Battery", "1")}, None),
        ({"AC": ("Mains", None)}, None),
    ],
)
def test_power_source(
    tmp_path: Path, supplies: dict[str, tuple[str, str | None]], source: str | None
) -> None:
    for name, (kind, online) in supplies.items():
        known = {} if online is None else {"online": online}
        build(tmp_path, supply(name, kind, **known))
    assert power_source(Disk(tmp_path)) == source


def test_usb_c_alone_on_battery() -> None:
    files = supply("ucsi", "USB", online=0) | supply("BAT0", "Battery", status="Discharging")
    assert power_source(Recording(files)) == "battery"
