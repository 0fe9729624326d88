"""Clocks of the processor, how often heat has lowered them, and what was chosen for them.

Facts: docs.kernel.org/admin-guide/pm/cpufreq.html (kHz), …/intel_thermal_throttle (counts and ms
since boot, Intel only), docs.kernel.org/userspace-api/sysfs-platform_profile.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lapwing.power.sensors.found import Found
from lapwing.power.sensors.reading import Missing, Quality
from lapwing.power.sensors.sensor import Sensor
from lapwing.power.sensors.tree import NoValueError, Tree, whole, word

CPUS = "sys/devices/system/cpu"
CPUINFO = "proc/cpuinfo"
PROFILE = "sys/firmware/acpi/platform_profile"
NO_TURBO = f"{CPUS}/intel_pstate/no_turbo"
BOOST = f"{CPUS}/cpufreq/boost"
PLAUSIBLE_MHZ = (1.0, 20000.0)


def find(tree: Tree) -> Found:
    """Clock, throttling, and the settings that decide about them."""
    return _clock(tree) + _throttle(tree) + _settings(tree)


def _clock(tree: Tree) -> Found:
    """The mean over CPUs: of cpufreq, else what /proc/cpuinfo says."""
    if _cpus_with(tree, "cpufreq/scaling_cur_freq"):
        source = f"{CPUS}/cpu*/cpufreq/scaling_cur_freq"
        return Found(readings=(_clock_sensor(source, lambda: _cpufreq_mhz(tree), _max_mhz(tree)),))
    cpuinfo = word(tree, CPUINFO)
    if _cpuinfo_mhz(cpuinfo):
        is_guest = re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE) is not None
        sensor = _clock_sensor(
            CPUINFO,
            lambda: _mean(_cpuinfo_mhz(tree.text(CPUINFO))),
            None,
            "estimated" if is_guest else "measured",
            "a virtual machine is told the nominal clock" if is_guest else None,
        )
        return Found(readings=(sensor,))
    reason = "neither cpufreq nor /proc/cpuinfo tells the clock"
    return Found(missing=(Missing("frequency", "CPU clock", f"{CPUS}, {CPUINFO}", reason),))


def _clock_sensor(
    source: str,
    get: Callable[[], float],
    limit: float | None,
    quality: Quality = "measured",
    note: str | None = None,
) -> Sensor[float]:
    return Sensor(
        "frequency",
        "CPU clock",
        "MHz",
        source,
        "cpu",
        get,
        quality,
        note,
        plausible=PLAUSIBLE_MHZ,
        limit=limit,
    )


def _cpus_with(tree: Tree, file: str) -> list[str]:
    """Paths of `file` of each CPU that has it."""
    folder, _, name = file.rpartition("/")
    cpus = [n for n in tree.names(CPUS) if re.fullmatch(r"cpu[0-9]+", n, re.ASCII)]
    return [f"{CPUS}/{cpu}/{file}" for cpu in cpus if name in tree.names(f"{CPUS}/{cpu}/{folder}")]


def _cpufreq_mhz(tree: Tree) -> float:
    """CPUs that have gone offline are left out."""
    values = []
    for path in _cpus_with(tree, "cpufreq/scaling_cur_freq"):
        try:
            values.append(whole(tree, path) / 1000)
        except FileNotFoundError:
            continue
    return _mean(values)


def _max_mhz(tree: Tree) -> float | None:
    """Of the fastest CPU."""
    values = []
    for path in _cpus_with(tree, "cpufreq/cpuinfo_max_freq"):
        try:
            values.append(whole(tree, path) / 1000)
        except (OSError, ValueError):
            continue
    return max(values, default=None)


def _cpuinfo_mhz(text: str) -> list[float]:
    found = re.findall(r"^cpu MHz\s*:\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*$", text, re.MULTILINE)
    return [float(number) for number in found]


def _mean(values: list[float]) -> float:
    if not values:
        raise NoValueError("no CPU tells its clock (any more)")
    return sum(values) / len(values)


def _throttle(tree: Tree) -> Found:
    """Since boot: how often, and for how long, the package or a core was slowed because of heat."""
    if not _cpus_with(tree, "thermal_throttle/package_throttle_count"):
        reason = "no thermal_throttle counters; only Intel's processors have them"
        return Found(missing=(Missing("throttle", "thermal throttling", CPUS, reason),))
    readings = [
        _throttle_sensor(tree, "package throttle count", "package_throttle_count", "1", 1.0),
        _throttle_sensor(tree, "core throttle count", "core_throttle_count", "1", 1.0),
    ]
    if _cpus_with(tree, "thermal_throttle/package_throttle_total_time_ms"):
        readings.append(
            _throttle_sensor(
                tree, "package throttle time", "package_throttle_total_time_ms", "s", 1e-3
            )
        )
    return Found(readings=tuple(readings))


def _throttle_sensor(tree: Tree, name: str, file: str, unit: str, scale: float) -> Sensor[float]:
    """The largest of all CPUs: those of one package repeat its count."""

    def get() -> float:
        paths = _cpus_with(tree, f"thermal_throttle/{file}")
        if not paths:
            raise NoValueError("no CPU has this counter (any more)")
        return scale * max(whole(tree, path) for path in paths)

    source = f"{CPUS}/cpu*/thermal_throttle/{file}"
    scope = "package" if file.startswith("package") else "cores"
    return Sensor("throttle", name, unit, source, scope, get)  # type: ignore[arg-type]


def _settings(tree: Tree) -> Found:
    """Words: the platform's profile, the governor, its preference, and whether turbo is on."""
    cpufreq = f"{CPUS}/cpu0/cpufreq"
    files = {
        "platform profile": PROFILE,
        "governor": f"{cpufreq}/scaling_governor",
        "energy preference": f"{cpufreq}/energy_performance_preference",
    }
    readings: list[Sensor[str]] = []
    missing: list[Missing] = []
    for name, path in files.items():
        folder, _, file = path.rpartition("/")
        if file in tree.names(folder):
            readings.append(_setting(tree, name, path))
        else:
            missing.append(Missing("profile", name, path, "this system has no such setting"))
    for path, on in ((NO_TURBO, "0"), (BOOST, "1")):
        if word(tree, path):
            readings.append(_turbo(tree, path, on))
            break
    return Found(readings=tuple(readings), missing=tuple(missing))


def _setting(tree: Tree, name: str, path: str) -> Sensor[str]:
    return Sensor("profile", name, "", path, "machine", lambda: tree.text(path))


def _turbo(tree: Tree, path: str, on: str) -> Sensor[str]:
    return Sensor(
        "profile", "turbo", "", path, "cpu", lambda: "on" if tree.text(path) == on else "off"
    )
