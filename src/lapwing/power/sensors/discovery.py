"""Every sensor of a machine, and why the others are none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from lapwing.power.sensors import (
    clocks,
    macos,
    nvml,
    perf,
    pressure,
    rapl,
    supply_sensors,
    thermal,
    windows,
)
from lapwing.power.sensors.deadline import BoundedTree, Deadline
from lapwing.power.sensors.energy import Energy, EnergySource
from lapwing.power.sensors.found import Found
from lapwing.power.sensors.reading import Missing, Quantity, Reading, Scope
from lapwing.power.sensors.sensor import Sensor
from lapwing.power.sensors.tree import Tree, open_tree

# Energy: RAPL before gauges of the package, these before the battery's.
READERS = (
    rapl.find,
    perf.find,
    thermal.find,
    supply_sensors.find,
    nvml.find,
    clocks.find,
    pressure.find,
)
OTHER_SYSTEMS = ((macos.FOLDER, (macos.find,)), (windows.FOLDER, (windows.find,)))


@dataclass(frozen=True)
class Sensors:
    """What was found. Of each quantity, the most trustworthy stands first.

    energy: for `Meter`; readings: everything that is read at one moment; missing: what is not here,
    or cannot be used. tree: what all of them read.
    """

    root: str
    energy: tuple[EnergySource, ...]
    readings: tuple[Sensor[Any], ...]
    missing: tuple[Missing, ...]
    tree: BoundedTree

    def of(self, quantity: Quantity) -> tuple[Sensor[Any], ...]:
        """All of one quantity."""
        return tuple(sensor for sensor in self.readings if sensor.quantity == quantity)

    def first(self, quantity: Quantity) -> Sensor[Any] | None:
        """The most trustworthy of one quantity."""
        return next(iter(self.of(quantity)), None)

    def energy_source(self, *scopes: Scope) -> EnergySource | None:
        """The most trustworthy of these scopes; by default of the package or the whole machine."""
        wanted = scopes or ("package", "machine")
        return next((source for source in self.energy if source.scope in wanted), None)

    def why_not(self, quantity: Quantity) -> str:
        """The reason that stands where a value would, of each sensor of a quantity."""
        reasons = [f"{m.name}: {m.reason}" for m in self.missing if m.quantity == quantity]
        return "; ".join(reasons) or "no such sensor is known on this system"

    def no_energy(self) -> Energy:
        """What a window without any source amounts to."""
        return Energy.missing(self.why_not("energy"))

    def read(self, quantities: Iterable[Quantity] = ()) -> dict[str, Reading[Any]]:
        """By the sensors' names, one reading each; of all quantities, where none is named."""
        wanted = frozenset(quantities)
        chosen = [s for s in self.readings if not wanted or s.quantity in wanted]
        return {sensor.name: sensor.read() for sensor in chosen}


def discover(root: str | os.PathLike[str] | Tree | None = None) -> Sensors:
    """Looks, once; reads a value only where nothing else tells whether it can be read.

    root: a folder, a recording or a tree; None: LAPWING_SYSFS, else this machine. Raises
    RequestError and FileError as `open_tree` does.
    """
    tree = open_tree(root) if root is None or isinstance(root, (str, os.PathLike)) else root
    look = BoundedTree(tree)
    readers = next((r for folder, r in OTHER_SYSTEMS if look.names(folder)), READERS)
    found = sum((find(look) for find in readers), Found())
    return Sensors(tree.label, found.energy, _together(found.readings), found.missing, look)


def _together(sensors: tuple[Sensor[Any], ...]) -> tuple[Sensor[Any], ...]:
    """With one thread for all, and the second `nvme Composite` called `nvme Composite (2)`."""
    deadline, counts = Deadline(), Counter[str]()
    together = []
    for sensor in sensors:
        counts[sensor.name] += 1
        number = counts[sensor.name]
        name = sensor.name if number == 1 else f"{sensor.name} ({number})"
        together.append(replace(sensor, name=name, deadline=deadline))
    return tuple(together)
