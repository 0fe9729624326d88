"""Apple's machines, from output in the form that their programs are documented to print.

None of it was recorded from a machine.
"""

from __future__ import annotations

import json
import plistlib
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapwing.power.sensors import discover, macos
from lapwing.power.sensors.macos_commands import COMMANDS, Commands
from lapwing.power.sensors.record import record
from lapwing.power.sensors.tree import Recording

ON_BATTERY = {
    "ExternalConnected": False,
    "IsCharging": False,
    "FullyCharged": False,
    "BatteryInstalled": True,
    "CurrentCapacity": 62,
    "MaxCapacity": 100,
    "InstantAmperage": (1 << 64) - 1500,
    "Voltage": 12_000,
    "Serial": "F5D-SECRET",
    "BatteryData": {"Serial": "F5D-SECRET", "CycleCount": 69},
}
SAMPLE = {
    "all_power": 14.5,
    "cpu_power": 12.25,
    "gpu_power": 2.0,
    "ane_power": 0.25,
    "sys_power": 21.0,
    "temp": {"cpu_temp_avg": 61.5, "gpu_temp_avg": 44.0},
    "timestamp": "2026-01-01T00:00:00.000000+00:00",
    "soc": {"mac_model": "SECRET-model"},
}


def mac(battery: dict[str, Any] | None = None, level: int = 0, **changed: Any) -> Recording:
    found = [ON_BATTERY if battery is None else battery]
    return Recording(
        {
            macos.BATTERY: plistlib.dumps(found).decode(),
            macos.PRESSURE: f"com.apple.system.thermalpressurelevel {level}\n",
            macos.MACMON: json.dumps(SAMPLE | changed),
            macos.POWERMETRICS: plistlib.dumps(
                {"processor": {"combined_power": 14_500.0}}
            ).decode(),
        }
    )


def test_a_laptop_on_battery() -> None:
    sensors = discover(mac(level=2))
    assert {name: reading.value for name, reading in sensors.read().items()} == {
        "macmon package": 14.5,
        "macmon machine": 21.0,
        "macmon CPU average": 61.5,
        "powermetrics package": 14.5,
        "charger": False,
        "weak charger": False,
        "battery charge": 0.62,
        "battery status": "Discharging",
        "battery discharge": 18.0,
        "thermal pressure": "heavy",
    }
    source = sensors.energy_source()
    assert source is not None
    assert (source.name, source.kind, source.read()) == ("macmon package", "gauge", (14.5,))


@pytest.mark.parametrize(
    ("changed", "status", "undersized"),
    [
        (
            {"ExternalConnected": True, "IsCharging": True, "InstantAmperage": 900},
            "Charging",
            False,
        ),
        ({"ExternalConnected": True, "FullyCharged": True, "InstantAmperage": 0}, "Full", False),
        ({"ExternalConnected": True, "InstantAmperage": -900}, "Not charging", True),
    ],
)
def test_plugged(changed: dict[str, Any], status: str, undersized: bool) -> None:
    now = discover(mac(ON_BATTERY | changed)).read()
    assert now["charger"].value is True
    assert now["battery status"].value == status
    assert now["weak charger"].value is undersized


def test_a_desktop_without_macmon_and_root() -> None:
    tree = mac()
    tree.files[macos.BATTERY] = plistlib.dumps([]).decode()
    tree.files[macos.MACMON] = FileNotFoundError(2, "no")
    tree.files[macos.POWERMETRICS] = PermissionError(13, "no")
    sensors = discover(tree)
    assert sensors.energy == ()
    assert sensors.why_not("energy") == (
        "macmon: macmon is not installed; powermetrics: permission denied; "
        "battery: there is no battery"
    )


@pytest.mark.parametrize("text", ["", "com.apple.x 7", "com.apple.x -1", "notifyutil: no", "x 22"])
def test_a_pressure_that_is_none(text: str) -> None:
    tree = mac()
    tree.files[macos.PRESSURE] = text
    assert "which is not understood" in str(discover(tree).read()["thermal pressure"].reason)


def test_a_chip_that_hides_its_temperature() -> None:
    reading = discover(mac(temp={"cpu_temp_avg": 0.0})).read()["macmon CPU average"]
    assert (reading.value, reading.quality) == (None, "unavailable")


@settings(deadline=None)
@given(
    st.sampled_from([macos.BATTERY, macos.PRESSURE, macos.MACMON, macos.POWERMETRICS]), st.text()
)
def test_no_output_can_make_it_raise(path: str, text: str) -> None:
    tree = mac()
    sensors = discover(tree)
    tree.files[path] = text
    for found in (sensors, discover(tree)):
        for reading in found.read().values():
            assert reading.value is not None or reading.reason


@settings(deadline=None)
@given(
    st.sampled_from(sorted(ON_BATTERY)), st.none() | st.text() | st.integers(-9, 9) | st.booleans()
)
def test_no_property_can_make_it_raise(key: str, value: Any) -> None:
    changed = {k: v for k, v in ON_BATTERY.items() if k != key}
    tree = mac(changed if value is None or value == "" else ON_BATTERY)
    sensors = discover(mac())
    tree.files[macos.BATTERY] = json.dumps({key: value})
    assert sensors.energy
    assert discover(tree).why_not("plugged")
    for reading in discover(mac(changed)).read().values():
        assert reading.value is not None or reading.reason


def test_a_recording_has_no_serial_number() -> None:
    recording = record(mac())
    assert "SECRET" not in recording.dump()
    assert discover(recording).read()["battery discharge"].value == 18.0
    assert discover(recording).read()["macmon CPU average"].value == 61.5


def test_programs_that_answer_fail_or_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    python = sys.executable
    monkeypatch.setattr(macos, "SAMPLE_S", 0.5)
    tree = Commands(
        {
            "macos/answers": (python, "-c", "print('x 3')"),
            "macos/fails": (python, "-c", "raise SystemExit('no such service')"),
            "macos/hangs": (python, "-c", "import time; time.sleep(60)"),
            "macos/missing": ("/nowhere/at-all",),
        }
    )
    assert tree.names("macos") == ["answers", "fails", "hangs", "missing"]
    monkeypatch.setattr(macos, "SAMPLE_S", 30.0)
    assert tree.text("macos/answers") == "x 3"
    with pytest.raises(OSError, match="failed with 1: no such service"):
        tree.text("macos/fails")
    for missing in ("macos/missing", "macos/unknown"):
        with pytest.raises(FileNotFoundError):
            tree.text(missing)
    monkeypatch.setattr(macos, "SAMPLE_S", 0.2)
    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        tree.text("macos/hangs")
    assert time.monotonic() - began_s < 30
    assert set(COMMANDS) == {macos.BATTERY, macos.PRESSURE, macos.MACMON, macos.POWERMETRICS}
