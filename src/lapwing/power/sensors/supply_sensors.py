"""Sensors of chargers and batteries, and the battery's gauge as a source of joules."""

from __future__ import annotations

from lapwing.power.sensors.energy import EnergySource
from lapwing.power.sensors.found import Found
from lapwing.power.sensors.reading import Missing, Quantity
from lapwing.power.sensors.sensor import Sensor
from lapwing.power.sensors.supply import (
    FOLDER,
    batteries,
    charge,
    discharge_w,
    plugged,
    status,
    undersized,
)
from lapwing.power.sensors.tree import Tree

STUCK_S = 300.0  # embedded controllers write a new power every 1 to 30 s
GAUGE_WINDOW_S = 300.0  # shorter ones hold too few of them
PLAUSIBLE_W = (0.0, 500.0)


def find(tree: Tree) -> Found:
    """Readings of all batteries and chargers together."""
    if not tree.names(FOLDER):
        quantities: tuple[Quantity, ...] = ("plugged", "charge", "status", "power", "energy")
        reason = "the kernel shows no power supply (a desktop, a virtual machine or a container)"
        return Found(missing=tuple(Missing(q, "power supply", FOLDER, reason) for q in quantities))
    plugged_sensor = Sensor("plugged", "charger", "", FOLDER, "machine", lambda: plugged(tree))
    if not batteries(tree):
        reason = "no battery of this machine's own among its power supplies"
        gone: tuple[Quantity, ...] = ("charge", "status", "power", "energy")
        missing = tuple(Missing(q, "battery", FOLDER, reason) for q in gone)
        return Found(readings=(plugged_sensor,), missing=missing)
    return Found(
        energy=(
            EnergySource(
                "battery gauge",
                f"{FOLDER} (discharge)",
                "machine",
                lambda: (discharge_w(tree),),
                kind="gauge",
                min_s=GAUGE_WINDOW_S,
                poll_s=1.0,
            ),
        ),
        readings=(
            plugged_sensor,
            Sensor("undersized", "weak charger", "", FOLDER, "machine", lambda: undersized(tree)),
            Sensor("charge", "battery charge", "1", FOLDER, "battery", lambda: charge(tree)),
            Sensor("status", "battery status", "", FOLDER, "battery", lambda: status(tree)),
            Sensor(
                "power",
                "battery discharge",
                "W",
                FOLDER,
                "machine",
                lambda: discharge_w(tree),
                plausible=PLAUSIBLE_W,
                stuck_after_s=STUCK_S,
            ),
        ),
    )
