"""A recording has the same sensors, and nothing that names anybody."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_trees import EVERYTHING, HWMON, POWERCAP, SUPPLY, build, chip, supply

from lapwing.power.sensors import discover
from lapwing.power.sensors.record import record, scrub
from lapwing.power.sensors.tree import Disk, Recording

SECRETS = {
    "serial": "SN-4711-XYZZY",
    "maker": "Frobozz Electric",
    "address": "a4:5e:60:c8:99:01",
    "host": "grues-laptop",
    "user": "wumpus",
    "machine id": "deadbeefdeadbeefdeadbeefdeadbeef",
}


def planted() -> dict[str, str]:
    """Secrets where a machine has them, and where one might slip through."""
    serial, maker, address, host, user, machine_id = SECRETS.values()
    return (
        EVERYTHING
        | supply(
            f"hid-{address}-battery",
            "Battery",
            scope="Device",
            serial_number=serial,
            model_name=f"{user}'s mouse",
            status="Discharging",
            capacity=7,
        )
        | supply(f"apple_mfi_fastcharge_{serial}", "USB", online=0)
        | {
            f"{SUPPLY}/BAT0/serial_number": serial,
            f"{SUPPLY}/BAT0/manufacturer": maker,
            f"{SUPPLY}/BAT0/model_name": f"{maker} {serial}",
            f"{SUPPLY}/BAT0/uevent": f"POWER_SUPPLY_SERIAL_NUMBER={serial}",
            f"{SUPPLY}/BAT0/cycle_count": serial,
            f"{SUPPLY}/BAT0/status": f"{user}@{host}: {address}",
            f"{HWMON}/hwmon2/device/serial": serial,
            f"{HWMON}/hwmon2/device/address": address,
            f"{HWMON}/hwmon2/temp1_label": f"{host} {user}",
            f"{HWMON}/hwmon10/fan1_label": address.replace(":", "-").upper(),
            "sys/class/dmi/id/product_serial": serial,
            "sys/class/dmi/id/sys_vendor": maker,
            "sys/class/net/wlan0/address": address,
            "proc/sys/kernel/hostname": host,
            "etc/machine-id": machine_id,
            "proc/cpuinfo": f"model name : Fast CPU\nSerial : {serial}\ncpu MHz : 800.000\n",
            "proc/pressure/irq": user,
        }
    )


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: f"{SECRETS['host']}.example.org")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, SECRETS["user"])


@pytest.mark.usefixtures("named")
def test_no_planted_secret_survives(tmp_path: Path) -> None:
    text = record(Disk(build(tmp_path, planted()))).dump().lower()
    for kind, secret in SECRETS.items():
        for written in (secret, secret.replace(":", "-"), secret.replace(":", "")):
            assert written.lower() not in text, kind
    assert "fast cpu" in text
    assert str(tmp_path) not in text


@pytest.mark.usefixtures("named")
def test_the_same_sensors_from_a_recording(tmp_path: Path) -> None:
    build(tmp_path, EVERYTHING)
    path = tmp_path / "recording"
    path.write_text(record(Disk(tmp_path)).dump())
    real, replayed = discover(tmp_path), discover(path)
    values = {name: reading.value for name, reading in real.read().items()}
    assert values == {name: reading.value for name, reading in replayed.read().items()}
    assert len(values) > 20
    assert [e.name for e in real.energy] == [e.name for e in replayed.energy]
    assert [e.read() for e in real.energy] == [e.read() for e in replayed.energy]
    assert {(m.name, m.reason) for m in real.missing} == {
        (m.name, m.reason) for m in replayed.missing
    }


def test_a_mouse_stays_a_mouse() -> None:
    recording = record(Recording(planted()))
    assert discover(recording).first("charge") is not None
    devices = [path for path, text in recording.files.items() if text == "Device"]
    assert len(devices) == 1
    assert devices[0].startswith(f"{SUPPLY}/supply")


def test_what_was_denied_is_denied_again() -> None:
    tree = Recording(EVERYTHING)
    tree.files[f"{POWERCAP}/intel-rapl:0/energy_uj"] = PermissionError(13, "no")
    again = discover(Recording.parse(record(tree).dump()))
    assert "RAPL package: permission denied" in again.why_not("energy")


def test_a_file_that_hangs_is_recorded_as_such(tmp_path: Path) -> None:
    build(tmp_path, chip(0, "coretemp", temp1_label="Package id 0"))
    os.mkfifo(tmp_path / HWMON / "hwmon0" / "temp1_input")
    again = discover(Recording.parse(record(Disk(tmp_path)).dump()))
    temperature = again.first("temperature")
    assert temperature is not None
    assert temperature.read().reason == "the system says ETIMEDOUT"


@settings(deadline=None)  # other programs may be busy
@given(
    st.sampled_from(sorted(EVERYTHING)),
    st.text(st.sampled_from("ab:;@{}\"'\\\x00é\n")).map("sec@ret".__add__),
)
def test_values_of_another_form_are_left_out(path: str, text: str) -> None:
    assert "sec@ret" not in record(Recording(EVERYTHING | {path: text})).dump()


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("hid-a4:5e:60:c8:99:01-battery", "hid-00:00:00:00:00:00-battery"),
        ("A4_5E_60_C8_99_01", "00:00:00:00:00:00"),
        ("Wumpus fan", "removed fan"),
        ("wumpus-fan", "removed-fan"),
        ("wumpuses", "wumpuses"),
        ("71000", "71000"),
    ],
)
def test_scrub(text: str, scrubbed: str) -> None:
    assert scrub(text, ("wumpus",)) == scrubbed
