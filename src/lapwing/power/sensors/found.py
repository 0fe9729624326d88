"""What one kind of reader found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lapwing.power.sensors.energy import EnergySource
from lapwing.power.sensors.reading import Missing
from lapwing.power.sensors.sensor import Sensor


@dataclass(frozen=True)
class Found:
    """Sensors, and those that are none; of each quantity the most trustworthy first."""

    energy: tuple[EnergySource, ...] = ()
    readings: tuple[Sensor[Any], ...] = ()
    missing: tuple[Missing, ...] = ()

    def __add__(self, other: Found) -> Found:
        return Found(
            self.energy + other.energy,
            self.readings + other.readings,
            self.missing + other.missing,
        )
