"""Windows, from the structures that its calls fill, as hexadecimal text.

GetSystemPowerStatus, CallNtPowerInformation and the Energy Metering Interface (EMI: picowatt-hours
since some moment, in every Intel since Tiger Lake and many Zens); temperatures of PDH's thermal
zones. They are called by `windows_calls`; here the bytes are read, from files of that name. Facts:
learn.microsoft.com: winbase SYSTEM_POWER_STATUS, winnt SYSTEM_BATTERY_STATE, powerbase
PROCESSOR_POWER_INFORMATION, emi.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from lapwing.power.sensors.energy import EnergySource
from lapwing.power.sensors.found import Found
from lapwing.power.sensors.reading import Missing, Quantity, T
from lapwing.power.sensors.sensor import Sensor, why
from lapwing.power.sensors.supply import UNDERSIZED_W
from lapwing.power.sensors.supply_sensors import GAUGE_WINDOW_S, PLAUSIBLE_W, STUCK_S
from lapwing.power.sensors.tree import NoValueError, Tree, whole

FOLDER = "windows"
STATUS, BATTERY = f"{FOLDER}/system_power_status", f"{FOLDER}/system_battery_state"
PROCESSORS = f"{FOLDER}/processor_power_information"
EMI, ZONES = f"{FOLDER}/emi", f"{FOLDER}/thermal"
PICOWATT_HOUR_J = 3.6e-9
MUST_MOVE_C = 3.0  # many zones are constants: one counts when it has moved so far
_NO_BATTERY, _UNKNOWN = 128, 255
_POWER_STATUS = struct.Struct("<BBBBII")
_BATTERY_STATE = struct.Struct("<BBBB3xBIIiIII")
_PROCESSOR = struct.Struct("<6I")
_EMI_HEAD = struct.Struct("<32s32sHH")  # maker, model, revision, channels
_EMI_CHANNEL = struct.Struct("<IH")  # unit, bytes of the name that follows
_EMI_VALUE = struct.Struct("<QQ")  # energy, time


def find(tree: Tree) -> Found:
    """Joules of EMI, charger and battery, clock limits, thermal zones."""
    return _emi(tree) + _supply(tree) + _processors(tree) + _zones(tree)


def recorded(tree: Tree) -> dict[str, str]:
    """The files themselves: none of these structures names a machine but EMI's, by its model."""
    paths = [STATUS, BATTERY, PROCESSORS, *(f"{ZONES}/{zone}" for zone in tree.names(ZONES))]
    paths += [f"{EMI}/{n}/{file}" for n in tree.names(EMI) for file in ("metadata", "measurement")]
    files: dict[str, str] = {}
    for path in paths:
        try:
            files[path] = tree.text(path)
        except OSError:
            continue
    return files


@dataclass(frozen=True)
class PowerStatus:
    """SYSTEM_POWER_STATUS. None: it says unknown."""

    plugged: bool | None
    charge: float | None
    has_battery: bool
    is_charging: bool
    is_saving: bool

    @classmethod
    def parse(cls, data: bytes) -> PowerStatus:
        """Raises ValueError where it is too short."""
        line, flag, percent, saver, _, _ = _unpack(_POWER_STATUS, data, "SYSTEM_POWER_STATUS")
        has_battery = flag != _UNKNOWN and not flag & _NO_BATTERY
        return cls(
            {0: False, 1: True}.get(line),
            percent / 100 if percent <= 100 and has_battery else None,
            has_battery,
            has_battery and bool(flag & 8),
            saver == 1,
        )


@dataclass(frozen=True)
class BatteryState:
    """SYSTEM_BATTERY_STATE: all batteries together."""

    is_discharging: bool
    rate_w: float

    @classmethod
    def parse(cls, data: bytes) -> BatteryState:
        """Raises ValueError where it is too short."""
        fields = _unpack(_BATTERY_STATE, data, "SYSTEM_BATTERY_STATE")
        return cls(bool(fields[3]), abs(fields[7]) / 1e3)


def emi_channels(metadata: bytes) -> list[str]:
    """Names of the channels of an EMI_METADATA_V2. Raises ValueError."""
    *_, count = _unpack(_EMI_HEAD, metadata, "EMI_METADATA_V2")
    names, at = [], _EMI_HEAD.size
    for _ in range(count):
        unit, size = _unpack(_EMI_CHANNEL, metadata[at:], "EMI_CHANNEL_V2")
        if unit != 0:
            raise ValueError(f"its unit is {unit}, not picowatt-hours")
        at += _EMI_CHANNEL.size
        if at + size > len(metadata):
            raise ValueError("the name of an EMI channel is longer than its metadata")
        name = metadata[at : at + size].decode("utf-16-le", errors="replace")
        names.append(name.partition("\0")[0].strip())
        at += size
    return names


def emi_joules(measurement: bytes) -> list[float]:
    """Of each channel of an EMI_MEASUREMENT_DATA_V2."""
    whole_size = len(measurement) // _EMI_VALUE.size * _EMI_VALUE.size
    values = _EMI_VALUE.iter_unpack(measurement[:whole_size])
    return [energy * PICOWATT_HOUR_J for energy, _ in values]


def mhz_limits(data: bytes) -> list[tuple[int, int]]:
    """Of each CPU: the clock that it may have now, and its highest."""
    if not data or len(data) % _PROCESSOR.size:
        raise ValueError(f"PROCESSOR_POWER_INFORMATION has {len(data)} bytes")
    return [(limit, top) for _, top, _, limit, _, _ in _PROCESSOR.iter_unpack(data)]


def _bytes(tree: Tree, path: str) -> bytes:
    try:
        return bytes.fromhex(tree.text(path))
    except ValueError as error:
        raise ValueError(f"{path} holds no hexadecimal text") from error


def _unpack(layout: struct.Struct, data: bytes, name: str) -> tuple[int, ...]:
    if len(data) < layout.size:
        raise ValueError(f"{name} has {len(data)} bytes; expected {layout.size}")
    return layout.unpack_from(data)


def _emi(tree: Tree) -> Found:
    """All channels *_PKG of all devices: each core has one, too, and they are parts of it."""
    channels: list[tuple[str, int]] = []
    reasons = []
    for number in tree.names(EMI):
        try:
            names = emi_channels(_bytes(tree, f"{EMI}/{number}/metadata"))
            channels += [
                (f"{EMI}/{number}/measurement", index)
                for index, name in enumerate(names)
                if name.endswith("_PKG")
            ]
        except (OSError, ValueError) as error:
            reasons.append(why(error))
    if not channels:
        reason = "; ".join(reasons) or "no energy meter has a channel of the package"
        return Found(missing=(Missing("energy", "EMI", EMI, reason),))
    source = EnergySource(
        "EMI package",
        f"{EMI} ({len(channels)} channels *_PKG)",
        "package",
        lambda: _emi_values(tree, channels),
        range_j=(None,) * len(channels),
    )
    return Found(energy=(source,))


def _emi_values(tree: Tree, channels: Iterable[tuple[str, int]]) -> tuple[float, ...]:
    values = []
    for path, index in channels:
        joules = emi_joules(_bytes(tree, path))
        if index >= len(joules):
            raise NoValueError("an energy meter has lost a channel")
        values.append(joules[index])
    return tuple(values)


def _supply(tree: Tree) -> Found:
    def status() -> PowerStatus:
        return PowerStatus.parse(_bytes(tree, STATUS))

    def plugged() -> bool:
        return _known(status().plugged, "Windows does not know whether a charger is connected")

    def charge() -> float:
        return _known(status().charge, "Windows does not know the charge")

    def discharge_w() -> float:
        state = BatteryState.parse(_bytes(tree, BATTERY))
        if not state.is_discharging or state.rate_w == 0:
            raise NoValueError("the battery is not being discharged, or does not tell how fast")
        return state.rate_w

    def undersized() -> bool:
        state = BatteryState.parse(_bytes(tree, BATTERY))
        return plugged() and state.is_discharging and state.rate_w > UNDERSIZED_W

    def words() -> str:
        if status().is_charging:
            return "Charging"
        state = BatteryState.parse(_bytes(tree, BATTERY))
        return "Discharging" if state.is_discharging else "Not charging"

    def saver() -> str:
        return "on" if status().is_saving else "off"

    charger = Sensor("plugged", "charger", "", STATUS, "machine", plugged)
    try:
        has_battery = status().has_battery
    except (OSError, ValueError) as error:
        return Found(missing=(Missing("plugged", "power status", STATUS, why(error)),))
    if not has_battery:
        quantities: tuple[Quantity, ...] = ("charge", "status", "power")
        reason = "Windows says that there is no battery"
        return Found(
            readings=(charger,),
            missing=tuple(Missing(q, "battery", STATUS, reason) for q in quantities),
        )
    return Found(
        energy=(
            EnergySource(
                "battery gauge",
                BATTERY,
                "machine",
                lambda: (discharge_w(),),
                kind="gauge",
                min_s=GAUGE_WINDOW_S,
                poll_s=1.0,
            ),
        ),
        readings=(
            charger,
            Sensor("undersized", "weak charger", "", BATTERY, "machine", undersized),
            Sensor("charge", "battery charge", "1", STATUS, "battery", charge),
            Sensor("status", "battery status", "", BATTERY, "battery", words),
            Sensor(
                "power",
                "battery discharge",
                "W",
                BATTERY,
                "machine",
                discharge_w,
                plausible=PLAUSIBLE_W,
                stuck_after_s=STUCK_S,
            ),
            Sensor("profile", "battery saver", "", STATUS, "machine", saver),
        ),
    )


def _known(value: T | None, reason: str) -> T:
    if value is None:
        raise NoValueError(reason)
    return value


def _processors(tree: Tree) -> Found:
    """Whether heat (or the firmware) holds clocks below their highest."""

    def is_limited() -> bool:
        return any(limit < top for limit, top in mhz_limits(_bytes(tree, PROCESSORS)))

    sensor = Sensor("throttle", "clock limit lowered", "", PROCESSORS, "cpu", is_limited)
    return Found(readings=(sensor,))


def _zones(tree: Tree) -> Found:
    """Tenths of a kelvin; 273.2 K is an unused zone."""
    names = tree.names(ZONES)
    if not names:
        return Found(missing=(Missing("temperature", "thermal zones", ZONES, "there are none"),))
    return Found(readings=tuple(_zone(tree, name) for name in names))


def _zone(tree: Tree, name: str) -> Sensor[float]:
    path = f"{ZONES}/{name}"
    return Sensor(
        "temperature",
        f"thermal zone {name}",
        "°C",
        path,
        "board",
        lambda: whole(tree, path) / 10 - 273.15,
        plausible=(1.0, 130.0),
        stuck_after_s=180.0,
        must_move=MUST_MOVE_C,
    )
