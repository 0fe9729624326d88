"""The sensors that were found, what they say now, and why the others say nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapwing.errors import FileError
from lapwing.power.sensors import Missing, Quantity, Reading, Scope, Sensors, discover, open_tree
from lapwing.power.sensors.record import record


@dataclass(frozen=True)
class SensorLine:
    """One sensor, read once. limit: what the hardware calls critical, or its maximum."""

    quantity: Quantity
    name: str
    limit: float | None
    reading: Reading[Any]


@dataclass(frozen=True)
class EnergyLine:
    """One source of joules: a counter, or a gauge that is integrated."""

    name: str
    kind: str
    scope: Scope
    source: str
    shortest_window_s: float


@dataclass(frozen=True)
class SensorReport:
    """Of one root; of each quantity the most trustworthy stands first."""

    root: str
    energy: tuple[EnergyLine, ...]
    readings: tuple[SensorLine, ...]
    missing: tuple[Missing, ...]

    def value(self, quantity: Quantity, scope: Scope | None = None) -> Any:
        """Of the first sensor of a quantity (and scope) that has one; None: none has."""
        readings = [line.reading for line in self.readings if line.quantity == quantity]
        values = [r.value for r in readings if r.value is not None and scope in (None, r.scope)]
        return values[0] if values else None

    def why_not(self, quantity: Quantity) -> str:
        """Why no sensor of a quantity has a value."""
        reasons = [m.reason for m in self.missing if m.quantity == quantity]
        failed = [line.reading for line in self.readings if line.quantity == quantity]
        reasons += [reading.reason or "" for reading in failed if reading.value is None]
        return "; ".join(reasons)


def look(root: str | os.PathLike[str] | None = None) -> SensorReport:
    """Finds and reads every sensor. Raises RequestError and FileError for a root that is none."""
    sensors = discover(root)
    return SensorReport(
        sensors.root,
        tuple(EnergyLine(e.name, e.kind, e.scope, e.source, e.min_s) for e in sensors.energy),
        tuple(_lines(sensors)),
        sensors.missing,
    )


def _lines(sensors: Sensors) -> list[SensorLine]:
    return [SensorLine(s.quantity, s.name, s.limit, s.read()) for s in sensors.readings]


def write_recording(path: Path, root: str | os.PathLike[str] | None = None) -> int:
    """An anonymised recording of the sensor files → how many. Raises FileError."""
    recording = record(open_tree(root))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(recording.dump())
    except FileExistsError as error:
        raise FileError(f"{path}: is there already. Delete it, or choose another name.") from error
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror}).") from error
    return len(recording.files)


def describe_supply(report: SensorReport) -> str:
    """`battery, 74 %, discharging, 14.0 W`; `mains, battery 80 %, not charging`; or why not."""
    plugged, charge = report.value("plugged"), report.value("charge")
    status, watts = report.value("status"), report.value("power", "machine")
    parts = [] if plugged is None else ["mains" if plugged else "battery"]
    if charge is not None:
        percent = f"{100 * charge:.0f} %"
        parts.append(percent if parts == ["battery"] else f"battery {percent}")
    if status is not None:
        parts.append(status.lower())
    if watts is not None:
        parts.append(f"{watts:.1f} W")
    if report.value("undersized"):
        parts.append("the charger gives less than the machine takes")
    return ", ".join(parts) or f"unknown: {report.why_not('plugged')}"


def verdict_on_sensors(report: SensorReport) -> str:
    """What can be measured here, in half a sentence."""
    energy = next((e for e in report.energy if e.scope in ("package", "machine")), None)
    temperature = next((t for t in report.readings if _is_cpu_temperature(t)), None)
    can = [f"energy ({energy.name})"] if energy else []
    can += [f"temperature ({temperature.name})"] if temperature else []
    cannot = [] if energy else ["energy"]
    cannot += [] if temperature else ["temperature"]
    parts = [f"measures {' and '.join(can)}"] if can else []
    parts += [f"cannot measure {' or '.join(cannot)}"] if cannot else []
    return ", ".join(parts)


def _is_cpu_temperature(line: SensorLine) -> bool:
    is_cpu = line.quantity == "temperature" and line.reading.scope == "package"
    return is_cpu and line.reading.value is not None
