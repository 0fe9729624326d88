"""Temperatures and fans of the hwmon class; thermal zones where it has none of the processor.

Facts: docs.kernel.org/hwmon/sysfs-interface.html (m°C, rpm, µW) and the pages of coretemp and
k10temp; docs.kernel.org/driver-api/thermal/sysfs-api.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lapwing.power.sensors.energy import EnergySource
from lapwing.power.sensors.found import Found
from lapwing.power.sensors.reading import Missing, Scope
from lapwing.power.sensors.sensor import Sensor
from lapwing.power.sensors.tree import Tree, whole, word

HWMON, ZONES = "sys/class/hwmon", "sys/class/thermal"
PLAUSIBLE_C = (-40.0, 130.0)  # what is not wired reads −273, 0 K, 128 or 255
PLAUSIBLE_RPM = (0.0, 20000.0)
PLAUSIBLE_W = (0.0, 1000.0)
STUCK_S = 180.0
SMOOTH_DRIVERS = ("acpitz", "nvme", "iwlwifi")  # steps of 5 °C or long averages: equal for minutes

# Chip and label of the processor's own temperature, the most trustworthy first. Tctl of some AMD
# desktops has an offset that Tdie is free of; on laptops they are equal.
_PACKAGE = (
    ("coretemp", "Package id"),
    ("k10temp", "Tdie"),
    ("zenpower", "Tdie"),
    ("k10temp", "Tctl"),
    ("k10temp", ""),
    ("zenpower", ""),
    ("cpu_thermal", ""),
    ("soc_thermal", ""),
    ("coretemp", ""),  # a core, where the package has none
    ("thinkpad", "CPU"),
    ("dell_smm", "CPU"),
    ("dell_ddv", "CPU"),
)
_PACKAGE_ZONES = (
    "x86_pkg_temp",
    "cpu-thermal",
    "cpu_thermal",
    "soc-thermal",
    "soc_thermal",
    "TCPU",
)
_GPUS = ("amdgpu", "nouveau", "i915", "xe")


@dataclass(frozen=True)
class _Input:
    """One value of one chip."""

    path: str
    chip: str
    label: str

    @property
    def name(self) -> str:
        return f"{self.chip} {self.label or self.path.rpartition('/')[2].partition('_')[0]}"


def find(tree: Tree) -> Found:
    """Temperatures, the processor's first; fans; the power of AMD's graphics, the APU's package."""
    awake, missing = _chips(tree)
    temperatures = [i for folder, chip in awake for i in _inputs(tree, folder, chip, "temp")]
    package = sorted((i for i in temperatures if _rank(i) is not None), key=lambda i: _rank(i) or 0)
    rest = [i for i in temperatures if _rank(i) is None]
    found = Found(readings=tuple(_hwmon_temperature(tree, i) for i in package), missing=missing)
    if not package:
        found += _zones(tree)
    found += Found(readings=tuple(_hwmon_temperature(tree, i) for i in rest))
    return found + _fans(tree, awake) + _graphics_power(tree, awake)


def _chips(tree: Tree) -> tuple[list[tuple[str, str]], tuple[Missing, ...]]:
    """Folder and name of each; reading one whose device sleeps would wake it."""
    awake, asleep = [], []
    for entry in tree.names(HWMON):
        folder = f"{HWMON}/{entry}"
        chip = word(tree, f"{folder}/name") or entry
        if word(tree, f"{folder}/device/power/runtime_status") in ("suspended", "suspending"):
            asleep.append(Missing("temperature", chip, folder, "asleep; reading it would wake it"))
        else:
            awake.append((folder, chip))
    return awake, tuple(asleep)


def _inputs(tree: Tree, folder: str, chip: str, kind: str) -> list[_Input]:
    names = [n for n in tree.names(folder) if re.fullmatch(kind + r"[0-9]+_input", n, re.ASCII)]
    return [
        _Input(f"{folder}/{n}", chip, word(tree, f"{folder}/{n.partition('_')[0]}_label"))
        for n in names
    ]


def _rank(found: _Input) -> int | None:
    """Of the processor's temperatures; None for those of something else."""
    for rank, (chip, label) in enumerate(_PACKAGE):
        if found.chip == chip and found.label.startswith(label):
            return rank
    return None


def _scope(found: _Input) -> Scope:
    if _rank(found) is not None:
        return "cores" if found.label.startswith(("Core ", "Tccd")) else "package"
    return "gpu" if found.chip in _GPUS else "board"


def _hwmon_temperature(tree: Tree, found: _Input) -> Sensor[float]:
    limit_path = found.path.replace("_input", "_crit")
    return _temperature(
        tree,
        found.name,
        found.path,
        _scope(found),
        _limit(tree, limit_path),
        None if found.chip in SMOOTH_DRIVERS else STUCK_S,
    )


def _temperature(
    tree: Tree,
    name: str,
    path: str,
    scope: Scope,
    limit_c: float | None,
    stuck_after_s: float | None,
) -> Sensor[float]:
    return Sensor(
        "temperature",
        name,
        "°C",
        path,
        scope,
        lambda: whole(tree, path) / 1000,
        plausible=PLAUSIBLE_C,
        stuck_after_s=stuck_after_s,
        limit=limit_c,
    )


def _limit(tree: Tree, path: str) -> float | None:
    """A critical temperature that can be one."""
    try:
        limit_c = whole(tree, path) / 1000
    except (OSError, ValueError):
        return None
    return limit_c if 40 <= limit_c <= 130 else None


def _zones(tree: Tree) -> Found:
    """The processor's zones, else all of them."""
    folders = [f"{ZONES}/{n}" for n in tree.names(ZONES) if n.startswith("thermal_zone")]
    kinds = {folder: word(tree, f"{folder}/type") for folder in folders}
    package = [f for f in folders if kinds[f] in _PACKAGE_ZONES]
    readings = [
        _temperature(
            tree,
            f"{kinds[f] or 'thermal zone'} ({f.rpartition('/')[2]})",
            f"{f}/temp",
            "package" if f in package else "board",
            _critical(tree, f),
            None if kinds[f] in SMOOTH_DRIVERS else STUCK_S,
        )
        for f in package or folders
    ]
    if package:
        return Found(readings=tuple(readings))
    reason = "no hwmon chip and no thermal zone is the processor's"
    missing = Missing("temperature", "processor", f"{HWMON}, {ZONES}", reason)
    return Found(readings=tuple(readings), missing=(missing,))


def _critical(tree: Tree, folder: str) -> float | None:
    """Temperature of a zone's critical trip point."""
    for name in tree.names(folder):
        match = re.fullmatch(r"(trip_point_[0-9]+)_type", name, re.ASCII)
        if match and word(tree, f"{folder}/{name}") == "critical":
            return _limit(tree, f"{folder}/{match[1]}_temp")
    return None


def _fans(tree: Tree, chips: list[tuple[str, str]]) -> Found:
    inputs = [i for folder, chip in chips for i in _inputs(tree, folder, chip, "fan")]
    if not inputs:
        return Found(missing=(Missing("fan", "fan", HWMON, "no hwmon chip shows a fan's speed"),))
    return Found(readings=tuple(_fan(tree, i) for i in inputs))


def _fan(tree: Tree, found: _Input) -> Sensor[float]:
    return Sensor(
        "fan",
        found.name,
        "rpm",
        found.path,
        "board",
        lambda: float(whole(tree, found.path)),
        plausible=PLAUSIBLE_RPM,
    )


def _graphics_power(tree: Tree, chips: list[tuple[str, str]]) -> Found:
    """Watts of AMD's graphics. An APU's are the whole package's; only APUs have `vddnb`."""
    found = Found()
    for folder, chip in chips:
        names = tree.names(folder)
        file = next((n for n in ("power1_average", "power1_input") if n in names), None)
        if chip != "amdgpu" or file is None:
            continue
        labels = [word(tree, f"{folder}/{n}") for n in names if re.fullmatch(r"in\d+_label", n)]
        is_package = "vddnb" in labels
        found += _gauge(tree, f"{folder}/{file}", "package" if is_package else "gpu")
    return found


def _gauge(tree: Tree, path: str, scope: Scope) -> Found:
    def watts() -> float:
        return whole(tree, path) / 1e6

    name = f"amdgpu {scope} power"
    sensor = Sensor(
        "power", name, "W", path, scope, watts, plausible=PLAUSIBLE_W, stuck_after_s=STUCK_S
    )
    energy = EnergySource(name, path, scope, lambda: (watts(),), kind="gauge")
    return Found(energy=(energy,), readings=(sensor,))
