"""A recording of a machine's sensor files, fit to be given away.

Only files whose names are listed here are read, and only values of the listed form are kept: none
of them holds a serial number. What is left that could name somebody (a Bluetooth address in a
folder's name, the user, the host) is taken out.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Iterator
from contextlib import suppress

from lapwing.power.sensors import macos, windows
from lapwing.power.sensors.deadline import BoundedTree
from lapwing.power.sensors.tree import Recording, Tree, word

NUMBER = r"[+-]?[0-9]{1,20}"
WORDS = r"[A-Za-z _-]{1,32}"  # a serial number has digits
LABEL = r"[A-Za-z0-9 _.,+()=/-]{1,64}"
_CPU = "sys/devices/system/cpu"
_DEVICE = "sys/bus/event_source/devices/power"
PCI = "sys/bus/pci/devices"

# Every part of a path is a pattern of names; then the form of the values.
LISTED = (
    ("sys/class/power_supply/.+/(type|scope|status)", WORDS),
    ("sys/class/power_supply/.+/(online|present|capacity|cycle_count)", NUMBER),
    ("sys/class/power_supply/.+/(energy|charge)_(now|full|full_design)", NUMBER),
    ("sys/class/power_supply/.+/(power|current|voltage)_now", NUMBER),
    ("sys/class/powercap/intel-rapl[a-z-]*:[0-9:]+/name", LABEL),
    ("sys/class/powercap/intel-rapl[a-z-]*:[0-9:]+/(max_energy_range|energy)_uj", NUMBER),
    ("sys/class/hwmon/hwmon[0-9]+/(name|(temp|fan|power|in)[0-9]+_label)", LABEL),
    ("sys/class/hwmon/hwmon[0-9]+/temp[0-9]+_(input|crit|max)", NUMBER),
    ("sys/class/hwmon/hwmon[0-9]+/(fan[0-9]+_input|power[0-9]+_(input|average))", NUMBER),
    ("sys/class/hwmon/hwmon[0-9]+/device/power/runtime_status", WORDS),
    ("sys/class/thermal/thermal_zone[0-9]+/(type|trip_point_[0-9]+_type)", LABEL),
    ("sys/class/thermal/thermal_zone[0-9]+/(temp|trip_point_[0-9]+_temp)", NUMBER),
    (f"{_CPU}/cpu[0-9]+/cpufreq/(scaling_cur|cpuinfo_max|cpuinfo_min)_freq", NUMBER),
    (f"{_CPU}/cpu[0-9]+/cpufreq/(scaling_governor|energy_performance_preference)", WORDS),
    (f"{_CPU}/cpu[0-9]+/thermal_throttle/(core|package)_throttle_[a-z_]+", NUMBER),
    (f"{_CPU}/(intel_pstate|cpufreq)/(no_turbo|boost)", NUMBER),
    ("sys/firmware/acpi/platform_profile", WORDS),
    (f"{_DEVICE}/(type|cpumask)", LABEL),
    (f"{_DEVICE}/events/energy-[a-z]+([.]scale|[.]unit)?", LABEL),
    (f"{PCI}/[0-9a-f:.]+/(vendor|class)", LABEL),
    (f"{PCI}/[0-9a-f:.]+/power/runtime_status", WORDS),
    ("proc/pressure/(cpu|memory|io)", r"((some|full) [a-z0-9=. ]{1,100}\n?){1,2}"),
)
CPUINFO = "proc/cpuinfo"
SUPPLIES = "sys/class/power_supply"
_KNOWN_SUPPLY = re.compile(r"(BAT|CMB|AC|ACAD|ADP|ADAPTER)[0-9]{0,2}", re.ASCII)
_ADDRESS = re.compile(r"(?:[0-9a-f]{2}[:_-]){5}[0-9a-f]{2}", re.IGNORECASE | re.ASCII)


def record(tree: Tree) -> Recording:
    """What readers look at, without what would name its owner. Files that fail keep their error."""
    tree, names = BoundedTree(tree), own_names()
    supplies = _anonymous_supplies(tree)
    files: dict[str, str | OSError] = {}
    for pattern, form in LISTED:
        for path in _matching(tree, "", pattern.split("/")):
            if path.startswith(PCI) and not _is_display(tree, path):
                continue
            shown = scrub(_rename(path, supplies), names)
            try:
                text = tree.text(path)
            except OSError as error:
                files[shown] = error
                continue
            if text == "" or re.fullmatch(form, text, re.ASCII):
                files[shown] = scrub(text, names)
    with suppress(OSError):
        files[CPUINFO] = scrub(_cpuinfo(tree.text(CPUINFO)), names)
    return Recording({**files, **macos.recorded(tree), **windows.recorded(tree)})


def own_names() -> tuple[str, ...]:
    """Of the host and its user, in lower case."""
    found = {platform.node(), platform.node().partition(".")[0], os.environ.get("SUDO_USER", "")}
    with suppress(OSError, KeyError, ImportError):
        found.add(getpass.getuser())
    return tuple(sorted((name.lower() for name in found if len(name) > 2), key=len, reverse=True))


def scrub(text: str, names: tuple[str, ...]) -> str:
    """Without hardware addresses and, as whole words, names."""
    text = _ADDRESS.sub("00:00:00:00:00:00", text)
    for name in names:
        word = rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
        text = re.sub(word, "removed", text, flags=re.IGNORECASE)
    return text


def _matching(tree: Tree, folder: str, parts: list[str]) -> Iterator[str]:
    """Paths below a folder whose parts match one by one."""
    first, rest = parts[0], parts[1:]
    for name in tree.names(folder) if folder else [first]:
        if re.fullmatch(first, name, re.ASCII):
            path = f"{folder}/{name}" if folder else name
            if rest:
                yield from _matching(tree, path, rest)
            else:
                yield path


def _is_display(tree: Tree, path: str) -> bool:
    device = "/".join(path.split("/")[:5])
    return word(tree, f"{device}/class").startswith("0x03")


def _anonymous_supplies(tree: Tree) -> dict[str, str]:
    """New names of power supplies whose own may hold an address or a serial number."""
    names = tree.names(SUPPLIES)
    return {
        name: name if _KNOWN_SUPPLY.fullmatch(name) else f"supply{number}"
        for number, name in enumerate(names)
    }


def _rename(path: str, supplies: dict[str, str]) -> str:
    if not path.startswith(SUPPLIES + "/"):
        return path
    name, _, file = path[len(SUPPLIES) + 1 :].partition("/")
    return f"{SUPPLIES}/{supplies[name]}/{file}"


def _cpuinfo(text: str) -> str:
    """Model and clock of each CPU, and whether it is a virtual machine's."""
    lines = []
    for line in text.splitlines():
        key = line.partition(":")[0].strip()
        if key in ("model name", "cpu MHz"):
            lines.append(line)
        elif key == "flags" and re.search(r"\bhypervisor\b", line):
            lines.append("flags\t\t: hypervisor")
    return "\n".join(lines)
