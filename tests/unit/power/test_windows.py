"""Windows' structures, packed here as its documentation lays them out; none was recorded."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapwing.power.sensors import Sensor, discover, windows
from lapwing.power.sensors.record import record
from lapwing.power.sensors.tree import Recording
from lapwing.power.sensors.windows import emi_channels, emi_joules


def power_status(line: int, flag: int, percent: int, saver: int = 0) -> str:
    return struct.pack("<BBBBii", line, flag, percent, saver, -1, -1).hex()


def battery_state(on_ac: bool, discharging: bool, rate_mw: int) -> str:
    head = struct.pack("<????3xB", on_ac, True, not discharging, discharging, 0)
    return (head + struct.pack("<IIiIII", 50_000, 30_000, rate_mw, 0, 0, 0)).hex()


def metadata(*names: str) -> str:
    head = "Maker".encode("utf-16-le").ljust(32, b"\0") + "Model".encode("utf-16-le").ljust(
        32, b"\0"
    )
    data = head + struct.pack("<HH", 1, len(names))
    for name in names:
        text = (name + "\0").encode("utf-16-le")
        data += struct.pack("<IH", 0, len(text)) + text
    return data.hex()


def measurement(*picowatt_hours: int) -> str:
    return b"".join(struct.pack("<QQ", energy, 123) for energy in picowatt_hours).hex()


def processors(*pairs: tuple[int, int]) -> str:
    return b"".join(
        struct.pack("<6I", number, top, limit, limit, 2, 1)
        for number, (top, limit) in enumerate(pairs)
    ).hex()


JOULE = 277_777_778  # in picowatt-hours
FILES = {
    windows.STATUS: power_status(0, 1, 60, 1),
    windows.BATTERY: battery_state(False, True, -14_000),
    windows.PROCESSORS: processors((2600, 2600), (2600, 1900)),
    "windows/emi/0/metadata": metadata("RAPL_Package0_PKG", "RAPL_Package0_Core0_CORE", "DRAM   "),
    "windows/emi/0/measurement": measurement(10 * JOULE, 4 * JOULE, JOULE),
    "windows/emi/1/metadata": metadata("RAPL_Package1_PKG  "),
    "windows/emi/1/measurement": measurement(5 * JOULE),
    "windows/thermal/_TZ.THM0": "3232",
}


def test_a_laptop_on_battery() -> None:
    sensors = discover(Recording(FILES))
    now = sensors.read()
    assert {name: reading.value for name, reading in now.items()} == {
        "charger": False,
        "weak charger": False,
        "battery charge": 0.6,
        "battery status": "Discharging",
        "battery discharge": 14.0,
        "battery saver": "on",
        "clock limit lowered": True,
        "thermal zone _TZ.THM0": pytest.approx(50.05),
    }
    source = sensors.energy_source()
    assert source is not None
    assert (source.name, source.scope) == ("EMI package", "package")
    assert source.read() == pytest.approx((10.0, 5.0))  # packages alone: cores are parts of them


def test_a_zone_counts_when_it_has_moved() -> None:
    tree = Recording(FILES)
    zone = discover(tree).first("temperature")
    assert isinstance(zone, Sensor)
    path = "windows/thermal/_TZ.THM0"
    qualities = []
    for tenths_k in ("3232", "3232", "3242", "3262", "3232"):
        tree.files[path] = tenths_k
        qualities.append(zone.read().quality)
    assert qualities == ["stuck", "stuck", "stuck", "measured", "measured"]
    tree.files[path] = "2732"  # unused
    assert zone.read().value is None


@pytest.mark.parametrize(
    ("status", "state", "expected"),
    [
        (
            power_status(1, 8, 60),
            battery_state(True, False, 20_000),
            (True, 0.6, "Charging", False),
        ),
        (
            power_status(1, 1, 60),
            battery_state(True, True, -14_000),
            (True, 0.6, "Discharging", True),
        ),
        (
            power_status(255, 1, 255),
            battery_state(False, False, 0),
            (None, None, "Not charging", None),
        ),
    ],
)
def test_supply(status: str, state: str, expected: tuple[Any, ...]) -> None:
    files = FILES | {windows.STATUS: status, windows.BATTERY: state}
    now = discover(Recording(files)).read()
    names = ("charger", "battery charge", "battery status", "weak charger")
    assert tuple(now[name].value for name in names) == expected


def test_a_desktop() -> None:
    files = {windows.STATUS: power_status(1, 128, 255)}
    sensors = discover(Recording(files))
    assert sensors.read()["charger"].value is True
    assert "Windows says that there is no battery" in sensors.why_not("charge")
    assert "no energy meter has a channel of the package" in sensors.why_not("energy")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "EMI_METADATA_V2 has 0 bytes; expected 68"),
        (bytes.fromhex(metadata("A"))[:-2], "longer than its metadata"),
        (bytes.fromhex(metadata("A"))[:70], "EMI_CHANNEL_V2 has 2 bytes; expected 6"),
        (bytes(66) + b"\x01\x00" + b"\x01\0\0\0\0\0", "its unit is 1, not picowatt-hours"),
    ],
)
def test_metadata_that_is_none(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        emi_channels(data)


@given(st.lists(st.text(st.characters(codec="utf-16-le", exclude_characters="\0"), max_size=20)))
def test_channels_come_back(names: list[str]) -> None:
    data = bytes.fromhex(metadata(*names))
    assert emi_channels(data) == [name.strip() for name in names]


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_a_watt_hour_is_3600_joules(values: list[int]) -> None:
    joules = emi_joules(bytes.fromhex(measurement(*values)))
    assert joules == pytest.approx([value * 1e-12 * 3600 for value in values])


@settings(deadline=None)
@given(st.sampled_from(sorted(FILES)), st.text(max_size=60) | st.binary(max_size=80).map(bytes.hex))
def test_no_answer_can_make_it_raise(path: str, text: str) -> None:
    tree = Recording(FILES)
    sensors = discover(tree)
    tree.files[path] = text
    for found in (sensors, discover(tree)):
        for reading in found.read().values():
            assert reading.value is not None or reading.reason
        for source in found.energy:
            try:
                source.read()
            except (OSError, ValueError) as error:
                assert str(error)  # noqa: PT017


def test_a_recording_has_the_same_values() -> None:
    again = discover(record(Recording(FILES)))
    assert again.read()["battery discharge"].value == 14.0
    assert again.energy[0].read() == pytest.approx((10.0, 5.0))
