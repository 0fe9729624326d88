"""What the machine says of its power, heat, clocks and load. Reads the world, decides nothing.

    sensors = discover()                      # of this machine, a copy of its /sys, or a recording
    sensors.first("temperature").read()       # Reading: value, unit, source, scope, quality, reason
    with Meter(sensors.energy[0]) as meter:   # joules; None with a reason, where there are none
        work()

Nothing here raises for a sensor that fails, and no reading waits longer than 200 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lapwing.power.sensors.discovery import Sensors, discover
    from lapwing.power.sensors.energy import Energy, EnergySource, Meter
    from lapwing.power.sensors.reading import Missing, Quality, Quantity, Reading, Scope
    from lapwing.power.sensors.sensor import Sensor
    from lapwing.power.sensors.tree import Tree, open_tree

_NAMES = {
    "discovery": ("Sensors", "discover"),
    "energy": ("Energy", "EnergySource", "Meter"),
    "reading": ("Missing", "Quality", "Quantity", "Reading", "Scope"),
    "sensor": ("Sensor",),
    "tree": ("Tree", "open_tree"),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [
    "Energy",
    "EnergySource",
    "Meter",
    "Missing",
    "Quality",
    "Quantity",
    "Reading",
    "Scope",
    "Sensor",
    "Sensors",
    "Tree",
    "discover",
    "open_tree",
]


def __getattr__(name: str) -> Any:
    """Every load asks for the power source; only some want all the rest."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lapwing.power.sensors' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"lapwing.power.sensors.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
