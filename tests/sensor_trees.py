"""Machines that are files: what /sys and /proc say, in a folder, in memory, or under umockdev.

Paths are relative to the root: `sys/class/power_supply/BAT0/status`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Files = dict[str, str]

SUPPLY = "sys/class/power_supply"
POWERCAP = "sys/class/powercap"
HWMON = "sys/class/hwmon"
CPU = "sys/devices/system/cpu"


def build(root: Path, files: Mapping[str, str]) -> Path:
    """The files below `root`, each with the line end that the kernel writes."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def device(folder: str, **attributes: object) -> Files:
    return {f"{folder}/{name}": str(value) for name, value in attributes.items()}


def supply(name: str, kind: str, **attributes: object) -> Files:
    return device(f"{SUPPLY}/{name}", type=kind, **attributes)


def rapl(zone: str, name: str, energy_uj: int, range_uj: int | None = 262_143_328_850) -> Files:
    known = {} if range_uj is None else {"max_energy_range_uj": range_uj}
    return device(f"{POWERCAP}/intel-rapl:{zone}", name=name, energy_uj=energy_uj, **known)


def chip(number: int, name: str, **attributes: object) -> Files:
    return device(f"{HWMON}/hwmon{number}", name=name, **attributes)


def umockdev(files: Mapping[str, str]) -> str:
    """The same devices as a description for `umockdev-run --device`."""
    devices: dict[tuple[str, str], list[str]] = {}
    for path, text in files.items():
        parts = path.split("/")
        if parts[:2] == ["sys", "class"]:
            key, file = (f"/devices/faked/{parts[2]}/{parts[3]}", parts[2]), "/".join(parts[4:])
            devices.setdefault(key, []).append(f"A: {file}={text}\\n")
    blocks = [
        "\n".join([f"P: {path}", f"E: SUBSYSTEM={subsystem}", *lines])
        for (path, subsystem), lines in devices.items()
    ]
    return "\n\n".join(blocks) + "\n"


@dataclass(frozen=True)
class Laptop:
    """A faked machine and what is true of its power. None: it does not tell."""

    files: Files
    plugged: bool | None
    charge: float | None = None
    discharge_w: float | None = None
    is_undersized: bool | None = False


LAPTOPS = {
    "charge limit reached, adapter ADP1": Laptop(
        supply("ADP1", "Mains", online=1)
        | supply(
            "BAT0",
            "Battery",
            status="Not charging",
            energy_now=40_000_000,
            energy_full=50_000_000,
            power_now=0,
        ),
        plugged=True,
        charge=0.8,
    ),
    "desktop with a wireless mouse": Laptop(
        supply(
            "hidpp_battery_0", "Battery", scope="Device", online=1, status="Discharging", capacity=7
        ),
        plugged=None,
        is_undersized=None,
    ),
    "two batteries, the first empty": Laptop(
        supply("AC", "Mains", online=0)
        | supply(
            "BAT0",
            "Battery",
            status="Not charging",
            energy_now=1_000_000,
            energy_full=23_800_000,
            power_now=0,
        )
        | supply(
            "BAT1",
            "Battery",
            status="Discharging",
            energy_now=69_840_000,
            energy_full=72_000_000,
            power_now=14_000_000,
        ),
        plugged=False,
        charge=70.84 / 95.8,
        discharge_w=14.0,
    ),
    "charge instead of energy, negative current": Laptop(
        supply("ACAD", "Mains", online=0)
        | supply(
            "BAT1",
            "Battery",
            status="Discharging",
            charge_now=2_000_000,
            charge_full=4_000_000,
            current_now=-1_500_000,
            voltage_now=12_000_000,
        ),
        plugged=False,
        charge=0.5,
        discharge_w=18.0,
    ),
    "USB-C supply alone": Laptop(
        supply("ucsi-source-psy-USBC000:001", "USB", online=1, voltage_now=20_000_000),
        plugged=True,
        is_undersized=None,
    ),
    "container without power supplies": Laptop(
        {"proc/version": "Linux"}, plugged=None, is_undersized=None
    ),
    "energy_now is empty": Laptop(
        supply(
            "BAT0",
            "Battery",
            status="Unknown",
            capacity=55,
            energy_now="",
            energy_full=50_000_000,
        ),
        plugged=None,
        charge=0.55,
        is_undersized=None,
    ),
    "old adapter off, USB-C on": Laptop(
        supply("AC", "Mains", online=0)
        | supply("ucsi-source-psy-USBC000:002", "USB", online=1)
        | supply(
            "BAT0",
            "Battery",
            status="Charging",
            energy_now=30_000_000,
            energy_full=60_000_000,
            power_now=25_000_000,
        ),
        plugged=True,
        charge=0.5,
    ),
    "undersized charger": Laptop(
        supply("ADP1", "Mains", online=1)
        | supply(
            "BAT0",
            "Battery",
            status="Discharging",
            energy_now=30_000_000,
            energy_full=60_000_000,
            power_now=14_000_000,
        ),
        plugged=True,
        charge=0.5,
        discharge_w=14.0,
        is_undersized=True,
    ),
}

# A whole machine, Intel, with everything that is read.
EVERYTHING: Files = (
    LAPTOPS["undersized charger"].files
    | rapl("0", "package-0", 1_000_000)
    | rapl("0:0", "core", 400_000)
    | rapl("0:1", "dram", 200_000)
    | rapl("1", "psys", 3_000_000)
    | device(f"{POWERCAP}/intel-rapl-mmio:0", name="package-0", energy_uj=1_000_000)
    | chip(0, "acpitz", temp1_input=35_000)
    | chip(
        3,
        "coretemp",
        temp1_input=71_000,
        temp1_label="Package id 0",
        temp1_crit=100_000,
        temp2_input=69_000,
        temp2_label="Core 0",
    )
    | chip(10, "thinkpad", fan1_input=3120, temp1_input=70_000, temp1_label="CPU")
    | chip(2, "nvme", temp1_input=41_850, temp1_label="Composite")
    | device(f"{CPU}/cpu0/cpufreq", scaling_cur_freq=3_000_000, cpuinfo_max_freq=4_800_000)
    | device(f"{CPU}/cpu0/cpufreq", scaling_governor="powersave")
    | device(f"{CPU}/cpu0/cpufreq", energy_performance_preference="balance_performance")
    | device(f"{CPU}/cpu1/cpufreq", scaling_cur_freq=1_000_000, cpuinfo_max_freq=3_800_000)
    | device(
        f"{CPU}/cpu0/thermal_throttle",
        package_throttle_count=9,
        core_throttle_count=4,
        package_throttle_total_time_ms=1500,
    )
    | device(f"{CPU}/cpu1/thermal_throttle", package_throttle_count=9, core_throttle_count=5)
    | device(f"{CPU}/intel_pstate", no_turbo=0)
    | device("sys/firmware/acpi", platform_profile="balanced")
    | device(
        "proc/pressure",
        cpu="some avg10=12.50 avg60=1.00 avg300=0.50 total=123",
        memory="some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n"
        "full avg10=0.50 avg60=0.00 avg300=0.00 total=1",
        io="some avg10=0.00 avg60=0.00 avg300=0.00 total=1",
    )
)
