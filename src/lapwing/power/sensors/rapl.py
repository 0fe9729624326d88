"""Intel's RAPL counters as the powercap class has them; AMD's since Zen stand in the same place.

Facts: docs.kernel.org/power/powercap/powercap.html. Only root may read them since CVE-2020-8694:
fast readings of a counter tell what another program computes.
"""

from __future__ import annotations

from dataclasses import dataclass

from lapwing.power.sensors.energy import EnergySource
from lapwing.power.sensors.found import Found
from lapwing.power.sensors.reading import Missing, Scope
from lapwing.power.sensors.sensor import why
from lapwing.power.sensors.tree import Tree, whole, word

FOLDER = "sys/class/powercap"
RULE = (
    'ACTION=="add", SUBSYSTEM=="powercap", ATTR{name}=="?*", '
    'RUN+="/bin/chgrp energy /sys%p/energy_uj", RUN+="/bin/chmod 0440 /sys%p/energy_uj"'
)
PERMISSION = (
    "sudo groupadd --force --system energy && sudo usermod --append --groups energy $USER && "
    f"echo '{RULE}' | sudo tee /etc/udev/rules.d/70-lapwing-energy.rules && "
    "sudo udevadm control --reload && "
    "sudo udevadm trigger --subsystem-match=powercap --action=add  "
    "# then log in again. It opens a side channel: from fast readings, members of that group can "
    "infer what other programs compute, secret keys included (CVE-2020-8694)"
)
_SCOPES: dict[str, Scope] = {"package": "package", "dram": "dram", "psys": "machine"}
_ORDER = list(_SCOPES)  # of trust: a package is there on every machine that has any


@dataclass(frozen=True)
class _Zone:
    folder: str
    kind: str  # the name of the zone without its number
    range_j: float | None


def find(tree: Tree) -> Found:
    """One source of each kind: packages, or memory of several packages, are summed."""
    zones = [_zone(tree, name) for name in tree.names(FOLDER)]
    by_kind = {kind: [z for z in zones if z is not None and z.kind == kind] for kind in _ORDER}
    usable: list[EnergySource] = []
    missing: list[Missing] = []
    for kind, found in by_kind.items():
        name, source = f"RAPL {kind}", ", ".join(f"{zone.folder}/energy_uj" for zone in found)
        if not found:
            continue
        try:
            _read(tree, found)
        except (OSError, ValueError) as error:
            denied = isinstance(error, PermissionError)
            missing.append(
                Missing("energy", name, source, why(error), PERMISSION if denied else None)
            )
        else:
            usable.append(_source(tree, name, source, _SCOPES[kind], found))
    if not any(by_kind.values()):
        reason = "the kernel shows no powercap zone: a virtual machine, or no intel_rapl_msr driver"
        missing.append(Missing("energy", "RAPL", FOLDER, reason))
    return Found(energy=tuple(usable), missing=tuple(missing))


def _zone(tree: Tree, folder: str) -> _Zone | None:
    """None for what is no zone of ours. `intel-rapl-mmio` counts the same joules once more."""
    if not folder.startswith("intel-rapl:"):
        return None
    path = f"{FOLDER}/{folder}"
    try:
        range_j = whole(tree, f"{path}/max_energy_range_uj") / 1e6
    except (OSError, ValueError):
        range_j = 0.0
    return _Zone(path, word(tree, f"{path}/name").partition("-")[0], range_j or None)


def _source(tree: Tree, name: str, source: str, scope: Scope, zones: list[_Zone]) -> EnergySource:
    return EnergySource(
        name,
        source,
        scope,
        lambda: _read(tree, zones),
        range_j=tuple(zone.range_j for zone in zones),
    )


def _read(tree: Tree, zones: list[_Zone]) -> tuple[float, ...]:
    """Joules of each zone."""
    return tuple(whole(tree, f"{zone.folder}/energy_uj") / 1e6 for zone in zones)
