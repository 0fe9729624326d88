"""What the machine says of its power, heat, clocks and load. Reads the world, decides nothing.

    sensors = discover()                      # of this machine, a copy of its /sys, or a recording
    sensors.first("temperature").read()       # Reading: value, unit, source, scope, quality, reason
    with Meter(sensors.energy[0]) as meter:   # joules; None with a reason, where there are none
        work()

Nothing here raises for a sensor that fails, and no reading waits longer than 200 ms.
"""

from lapwing.power.sensors.discover import Sensors, discover
from lapwing.power.sensors.energy import Energy, EnergySource, Meter
from lapwing.power.sensors.reading import Missing, Quality, Quantity, Reading, Scope
from lapwing.power.sensors.sensor import Sensor
from lapwing.power.sensors.tree import Tree, open_tree

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
