"""RAPL's zones: which are summed, which are left out, and who may read them."""

from __future__ import annotations

import pytest
from sensor_trees import EVERYTHING, POWERCAP, rapl

from lapwing.power.sensors import discover
from lapwing.power.sensors.rapl import PERMISSION
from lapwing.power.sensors.tree import Recording


def test_one_source_of_each_kind() -> None:
    sensors = discover(Recording(EVERYTHING))
    found = {source.name: source for source in sensors.energy}
    assert list(found) == ["RAPL package", "RAPL dram", "RAPL psys", "battery gauge"]
    assert found["RAPL package"].read() == (1.0,)  # once: mmio counts the same joules
    assert found["RAPL dram"].scope == "dram"
    assert sensors.energy_source() is found["RAPL package"]
    assert sensors.energy_source("machine") is found["RAPL psys"]
    assert sensors.energy_source("gpu") is None


def test_packages_are_summed() -> None:
    files = rapl("0", "package-0", 1_000_000) | rapl("1", "package-1", 5_000_000, 65_532_610_987)
    (source,) = discover(Recording(files)).energy
    assert source.read() == (1.0, 5.0)
    assert source.range_j == (262_143.32885, 65_532.610987)


def test_permission_denied() -> None:
    tree = Recording(rapl("0", "package-0", 1))
    tree.files[f"{POWERCAP}/intel-rapl:0/energy_uj"] = PermissionError(13, "Permission denied")
    sensors = discover(tree)
    assert sensors.energy == ()
    missing = next(m for m in sensors.missing if m.name == "RAPL package")
    assert (missing.reason, missing.remedy) == ("permission denied", PERMISSION)
    assert "CVE-2020-8694" in PERMISSION
    assert "0444" not in PERMISSION
    assert sensors.no_energy().joules is None
    assert "RAPL package: permission denied" in str(sensors.no_energy().reason)


@pytest.mark.parametrize("text", ["", "garbage", "1.5", "1e3", "0x10", "٣", "9" * 30])
def test_what_is_no_counter(text: str) -> None:
    tree = Recording(rapl("0", "package-0", 1))
    tree.files[f"{POWERCAP}/intel-rapl:0/energy_uj"] = text
    sensors = discover(tree)
    assert sensors.energy == ()
    missing = next(m for m in sensors.missing if m.name == "RAPL package")
    assert missing.reason == f"energy_uj holds {text[:20]!r}, which is no number"


def test_no_known_range() -> None:
    (source,) = discover(Recording(rapl("0", "package-0", 7, range_uj=None))).energy
    assert source.range_j == (None,)
