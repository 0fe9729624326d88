"""Apple's machines, from what four programs print.

ioreg has the battery (IORegistry class AppleSmartBattery), notifyutil the thermal pressure, macmon
(if installed) the watts and temperatures of IOReport and SMC without root, powermetrics the watts
with it. They are run by `macos_commands`; here their output is read, from files of that name.
Facts: man ioreg, notifyutil, powermetrics; github.com/vladkens/macmon (README, metrics).
"""

from __future__ import annotations

import json
import plistlib
import re
from collections.abc import Callable
from typing import Any

from lapwing.power.sensors.energy import EnergySource
from lapwing.power.sensors.found import Found
from lapwing.power.sensors.reading import Missing, Quantity, Scope
from lapwing.power.sensors.sensor import Sensor, why
from lapwing.power.sensors.supply import UNDERSIZED_W
from lapwing.power.sensors.supply_sensors import GAUGE_WINDOW_S, PLAUSIBLE_W, STUCK_S
from lapwing.power.sensors.tree import NoValueError, Tree

FOLDER = "macos"
BATTERY = f"{FOLDER}/battery.plist"
PRESSURE = f"{FOLDER}/thermal_pressure"
MACMON = f"{FOLDER}/macmon.json"
POWERMETRICS = f"{FOLDER}/powermetrics.plist"
SAMPLE_S = 2.0  # macmon and powermetrics watch for a while before they answer
LEVELS = ("nominal", "moderate", "heavy", "trapping", "sleeping")
_NEEDED = (
    "ExternalConnected",
    "IsCharging",
    "FullyCharged",
    "BatteryInstalled",
    "CurrentCapacity",
    "MaxCapacity",
    "InstantAmperage",
    "Voltage",
)


def find(tree: Tree) -> Found:
    """Power and temperature of the chip, battery, thermal pressure."""
    return _macmon(tree) + _powermetrics(tree) + _battery(tree) + _pressure(tree)


def recorded(tree: Tree) -> dict[str, str]:
    """The same files without what names a machine."""
    files: dict[str, str] = {}
    for path, keep in (
        (BATTERY, _few_of_battery),
        (PRESSURE, _level_text),
        (MACMON, _few_of_macmon),
    ):
        try:
            files[path] = keep(tree)
        except (OSError, ValueError):
            continue
    return files


def _plist(tree: Tree, path: str) -> Any:
    try:
        return plistlib.loads(tree.text(path).encode())
    except (OSError, ValueError):
        raise
    except Exception as error:  # plistlib lets its XML parser's errors out
        raise ValueError(f"{path} is no property list ({error})") from error


def battery(tree: Tree) -> dict[str, Any]:
    """Properties of the battery. Raises NoValueError where there is none."""
    found = _plist(tree, BATTERY)
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise NoValueError("there is no battery")
    if found[0].get("BatteryInstalled") is False:
        raise NoValueError("no battery is installed")
    return found[0]


def discharge_w(tree: Tree) -> float:
    """Watts that the battery gives: mA times mV; a negative current discharges."""
    properties = battery(tree)
    milliamperes = _integer(properties, "InstantAmperage")
    if milliamperes >= 1 << 63:  # a negative one, written as if it had no sign
        milliamperes -= 1 << 64
    if milliamperes >= 0:
        raise NoValueError(f"the battery is not being discharged ({milliamperes} mA)")
    return -milliamperes * _integer(properties, "Voltage") / 1e6


def charge(tree: Tree) -> float:
    """0 to 1."""
    properties = battery(tree)
    full = _integer(properties, "MaxCapacity")
    if full <= 0:
        raise ValueError(f"MaxCapacity is {full}")
    return min(max(_integer(properties, "CurrentCapacity") / full, 0.0), 1.0)


def plugged(tree: Tree) -> bool:
    """Whether a charger is connected."""
    return _flag(battery(tree), "ExternalConnected")


def status(tree: Tree) -> str:
    """In the words that Linux has for it."""
    properties = battery(tree)
    if _flag(properties, "IsCharging"):
        return "Charging"
    if not _flag(properties, "ExternalConnected"):
        return "Discharging"
    return "Full" if properties.get("FullyCharged") is True else "Not charging"


def undersized(tree: Tree) -> bool:
    """Whether the battery has to help a charger that is connected, now."""
    if not plugged(tree):
        return False
    try:
        return discharge_w(tree) > UNDERSIZED_W
    except NoValueError:
        return False


def pressure_level(tree: Tree) -> str:
    """Of `com.apple.system.thermalpressurelevel N`, its word."""
    match = re.fullmatch(r"\S+ ([0-9])", tree.text(PRESSURE), re.ASCII)
    if match is None or int(match[1]) >= len(LEVELS):
        raise ValueError(f"notifyutil says {tree.text(PRESSURE)[:60]!r}, which is not understood")
    return LEVELS[int(match[1])]


def macmon(tree: Tree, *keys: str) -> float:
    """One number of macmon's."""
    value: Any = json.loads(tree.text(MACMON))
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"macmon says no {'.'.join(keys)}")
    return float(value)


def powermetrics_w(tree: Tree) -> float:
    """Watts of CPU, GPU and neural engine together."""
    found = _plist(tree, POWERMETRICS)
    processor = found.get("processor") if isinstance(found, dict) else None
    value = processor.get("combined_power") if isinstance(processor, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("powermetrics says no processor.combined_power")
    return value / 1e3


def _macmon(tree: Tree) -> Found:
    try:
        macmon(tree, "all_power")
    except (OSError, ValueError) as error:
        reason = "macmon is not installed" if isinstance(error, FileNotFoundError) else why(error)
        quantities: tuple[Quantity, ...] = ("energy", "power", "temperature")
        remedy = "brew install macmon"
        return Found(
            missing=tuple(Missing(q, "macmon", MACMON, reason, remedy) for q in quantities)
        )

    def celsius() -> float:
        return macmon(tree, "temp", "cpu_temp_avg")

    temperature = Sensor(
        "temperature",
        "macmon CPU average",
        "°C",
        MACMON,
        "package",
        celsius,
        plausible=(5.0, 130.0),  # it says 0 to 3 where a chip hides its sensors
        stuck_after_s=180.0,
        deadline_s=SAMPLE_S,
    )
    return (
        _gauge("macmon package", MACMON, "package", lambda: macmon(tree, "all_power"))
        + _gauge("macmon machine", MACMON, "machine", lambda: macmon(tree, "sys_power"))
        + Found(readings=(temperature,))
    )


def _powermetrics(tree: Tree) -> Found:
    try:
        powermetrics_w(tree)
    except (OSError, ValueError) as error:
        remedy = "run as root: powermetrics must be"
        missing = Missing("energy", "powermetrics", POWERMETRICS, why(error), remedy)
        return Found(missing=(missing,))
    return _gauge("powermetrics package", POWERMETRICS, "package", lambda: powermetrics_w(tree))


def _gauge(name: str, source: str, scope: Scope, watts: Callable[[], float]) -> Found:
    sensor = Sensor(
        "power",
        name,
        "W",
        source,
        scope,
        watts,
        plausible=PLAUSIBLE_W,
        deadline_s=SAMPLE_S,
    )
    energy = EnergySource(
        name,
        source,
        scope,
        lambda: (watts(),),
        kind="gauge",
        poll_s=0.2,
        deadline_s=SAMPLE_S,
    )
    return Found(energy=(energy,), readings=(sensor,))


def _battery(tree: Tree) -> Found:
    try:
        battery(tree)
    except (OSError, ValueError) as error:
        quantities: tuple[Quantity, ...] = ("plugged", "charge", "status", "power", "energy")
        return Found(missing=tuple(Missing(q, "battery", BATTERY, why(error)) for q in quantities))
    return Found(
        energy=(
            EnergySource(
                "battery gauge",
                BATTERY,
                "machine",
                lambda: (discharge_w(tree),),
                kind="gauge",
                min_s=GAUGE_WINDOW_S,
                poll_s=1.0,
            ),
        ),
        readings=(
            Sensor("plugged", "charger", "", BATTERY, "machine", lambda: plugged(tree)),
            Sensor("undersized", "weak charger", "", BATTERY, "machine", lambda: undersized(tree)),
            Sensor("charge", "battery charge", "1", BATTERY, "battery", lambda: charge(tree)),
            Sensor("status", "battery status", "", BATTERY, "battery", lambda: status(tree)),
            Sensor(
                "power",
                "battery discharge",
                "W",
                BATTERY,
                "machine",
                lambda: discharge_w(tree),
                plausible=PLAUSIBLE_W,
                stuck_after_s=STUCK_S,
            ),
        ),
    )


def _pressure(tree: Tree) -> Found:
    sensor = Sensor(
        "throttle", "thermal pressure", "", PRESSURE, "machine", lambda: pressure_level(tree)
    )
    return Found(readings=(sensor,))


def _integer(properties: dict[str, Any], key: str) -> int:
    value = properties.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"the battery says no {key}")
    return value


def _flag(properties: dict[str, Any], key: str) -> bool:
    value = properties.get(key)
    if not isinstance(value, bool):
        raise ValueError(f"the battery says no {key}")
    return value


def _few_of_battery(tree: Tree) -> str:
    few = {key: value for key, value in battery(tree).items() if key in _NEEDED}
    return plistlib.dumps([few]).decode()


def _level_text(tree: Tree) -> str:
    return f"com.apple.system.thermalpressurelevel {LEVELS.index(pressure_level(tree))}"


def _few_of_macmon(tree: Tree) -> str:
    few = {key: macmon(tree, key) for key in ("all_power", "sys_power")}
    return json.dumps({**few, "temp": {"cpu_temp_avg": macmon(tree, "temp", "cpu_temp_avg")}})
