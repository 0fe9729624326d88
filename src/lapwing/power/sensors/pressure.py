"""Pressure stall information: the share of time in which work waited for a CPU, memory or the disk.

Facts: docs.kernel.org/accounting/psi.html. `some`: at least one task waited; `full`: all did.
"""

from __future__ import annotations

import re

from lapwing.power.sensors.found import Found
from lapwing.power.sensors.reading import Missing
from lapwing.power.sensors.sensor import Sensor, why
from lapwing.power.sensors.tree import Tree

FOLDER = "proc/pressure"
_WANTED = (("cpu", "some"), ("memory", "some"), ("memory", "full"), ("io", "some"))


def find(tree: Tree) -> Found:
    """Means over the last 10 s, as fractions."""
    found = Found()
    for resource, kind in _WANTED:
        path, name = f"{FOLDER}/{resource}", f"{resource} pressure ({kind})"
        try:
            share(tree, path, kind)
        except (OSError, ValueError) as error:
            found += Found(missing=(Missing("pressure", name, path, why(error)),))
        else:
            found += Found(readings=(_sensor(tree, name, path, kind),))
    return found


def share(tree: Tree, path: str, kind: str) -> float:
    """avg10 of one line, 0 to 1."""
    match = re.search(
        rf"^{kind} avg10=([0-9]{{1,3}}\.[0-9]{{1,6}})\b", tree.text(path), re.MULTILINE
    )
    if match is None:
        raise ValueError(f"it has no line '{kind} avg10=…'")
    return float(match[1]) / 100


def _sensor(tree: Tree, name: str, path: str, kind: str) -> Sensor[float]:
    return Sensor(
        "pressure",
        name,
        "1",
        path,
        "machine",
        lambda: share(tree, path, kind),
        plausible=(0.0, 1.0),
    )
