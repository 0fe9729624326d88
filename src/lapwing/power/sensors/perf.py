"""RAPL through perf's `power` events: the same counters, for whom perf is allowed.

Facts: man perf_event_open; /sys/bus/event_source/devices/power/{type,cpumask,events}. Counts are 64
bits wide and do not wrap.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
import weakref
from collections.abc import Sequence

from lapwing.power.sensors.energy import EnergySource
from lapwing.power.sensors.found import Found
from lapwing.power.sensors.reading import Missing, Scope
from lapwing.power.sensors.sensor import why
from lapwing.power.sensors.tree import Tree, whole, word

FOLDER = "sys/bus/event_source/devices/power"
PERMISSION = (
    "sudo sysctl kernel.perf_event_paranoid=0  # until the next start. It opens a side channel: "
    "every user can then infer what other programs compute (CVE-2020-8694)"
)
_EVENTS: dict[str, Scope] = {
    "energy-pkg": "package",
    "energy-ram": "dram",
    "energy-psys": "machine",
}
_SYSCALL = {"x86_64": 298, "AMD64": 298, "i686": 336}  # only x86 has power events
_CLOSE_ON_EXEC = 8
_ATTRIBUTES = struct.Struct("=IIQQQQQIIQ")  # perf_event_attr as of its first version


class PerfCounter:
    """One event on one CPU, whatever runs there; counts from when it is made. Raises OSError."""

    def __init__(self, kind: int, config: int, cpu: int) -> None:
        number = _SYSCALL.get(platform.machine())
        if number is None:
            raise OSError(f"no system call number is known for {platform.machine()}")
        libc = ctypes.CDLL(None, use_errno=True)
        fields = _ATTRIBUTES.pack(kind, _ATTRIBUTES.size, config, 0, 0, 0, 0, 0, 0, 0)
        attributes = ctypes.create_string_buffer(fields, len(fields))
        fd = libc.syscall(
            ctypes.c_long(number), attributes, -1, cpu, -1, ctypes.c_ulong(_CLOSE_ON_EXEC)
        )
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self._fd = fd
        weakref.finalize(self, os.close, fd)

    def count(self) -> int:
        """Since it was made."""
        return int.from_bytes(os.read(self._fd, 8), "little")


def find(tree: Tree) -> Found:
    """A source for each event that this kernel has and lets us read."""
    names = [name for name in _EVENTS if name in tree.names(f"{FOLDER}/events")]
    if not names:
        reason = "this kernel has no perf events for power"
        return Found(missing=(Missing("energy", "perf power events", FOLDER, reason),))
    if not tree.own:
        reason = f"perf counts on this machine, not on {tree.label}"
        return Found(missing=(Missing("energy", "perf power events", FOLDER, reason),))
    found = Found()
    for name in names:
        try:
            found += Found(energy=(_source(tree, name),))
        except (OSError, ValueError) as error:
            remedy = PERMISSION if isinstance(error, PermissionError) else None
            source = f"{FOLDER}/events/{name}"
            found += Found(missing=(Missing("energy", f"perf {name}", source, why(error), remedy),))
    return found


def _source(tree: Tree, name: str) -> EnergySource:
    event = f"{FOLDER}/events/{name}"
    unit = word(tree, f"{event}.unit")
    if unit != "Joules":
        raise ValueError(f"its unit is {unit!r}, not Joules")
    joules_per_count = float(tree.text(f"{event}.scale"))
    config, kind = event_config(tree.text(event)), whole(tree, f"{FOLDER}/type")
    cpus = [int(cpu) for cpu in re.findall(r"[0-9]+", word(tree, f"{FOLDER}/cpumask"))]
    counters = [PerfCounter(kind, config, cpu) for cpu in cpus or [0]]
    return EnergySource(
        f"perf {name}",
        event,
        _EVENTS[name],
        lambda: joules(counters, joules_per_count),
        range_j=(None,) * len(counters),
    )


def joules(counters: Sequence[PerfCounter], joules_per_count: float) -> tuple[float, ...]:
    """Of each counter (one a package)."""
    return tuple(counter.count() * joules_per_count for counter in counters)


def event_config(text: str) -> int:
    """`event=0x02` → 2; raises ValueError."""
    match = re.fullmatch(r"event=(0x[0-9a-fA-F]{1,16})", text)
    if match is None:
        raise ValueError(f"its event is {text[:40]!r}, which is not understood")
    return int(match[1], 16)
