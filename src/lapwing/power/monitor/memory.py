"""Memory that is used. Facts: man 5 proc_meminfo; what MemAvailable has could be given away."""

from __future__ import annotations

import re

from lapwing.power.monitor.sample import Line
from lapwing.power.sensors.sensor import why
from lapwing.power.sensors.tree import Tree

MEMINFO = "proc/meminfo"


def used(tree: Tree) -> Line:
    """Bytes; the limit is all there is."""
    try:
        text = tree.text(MEMINFO)
        total, available = _bytes(text, "MemTotal"), _bytes(text, "MemAvailable")
    except (OSError, ValueError) as error:
        return _line(None, None, f"{MEMINFO}: {why(error)}")
    return _line(max(total - available, 0.0), total, None)


def _line(value: float | None, limit: float | None, reason: str | None) -> Line:
    quality = "unavailable" if value is None else "measured"
    return Line("memory", value, "B", MEMINFO, "machine", quality, reason, limit)


def _bytes(text: str, key: str) -> float:
    match = re.search(rf"^{key}: *([0-9]{{1,15}}) kB$", text, re.MULTILINE | re.ASCII)
    if match is None:
        raise ValueError(f"it has no line '{key}: … kB'")
    return 1024.0 * int(match[1])
