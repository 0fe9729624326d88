"""Chargers and batteries, from the power_supply class.

Facts: docs.kernel.org/power/power_supply_class.html and its ABI page: µWh, µAh, µW, µA and µV.
Batteries count together; those of mice and headsets (scope Device) do not. Some firmware has
energy, some charge; some has no power; some signs the current; `status` alone tells the direction.
"""

from __future__ import annotations

from collections.abc import Sequence

from lapwing.power.sensors.tree import NoValueError, Tree, whole, word

FOLDER = "sys/class/power_supply"
UNDERSIZED_W = 1.0  # so much from the battery beside a charger: not the gauge's noise


def batteries(tree: Tree) -> list[str]:
    """Folders of those that feed this machine."""
    return [
        folder
        for folder in _supplies(tree)
        if word(tree, f"{folder}/type") == "Battery" and word(tree, f"{folder}/present") != "0"
    ]


def plugged(tree: Tree) -> bool:
    """Whether a charger feeds this machine. Raises NoValueError where nothing tells."""
    told: dict[str, list[bool]] = {}
    for folder in _supplies(tree):
        kind = word(tree, f"{folder}/type")
        if kind in ("Mains", "Wireless") or kind.startswith("USB"):
            online = word(tree, f"{folder}/online")
            if online:
                told.setdefault(kind, []).append(online != "0")
    if any(any(online) for online in told.values()):
        return True
    states = _states(tree, batteries(tree))
    if "Discharging" in states:
        return False
    if {"Charging", "Full"} & set(states) and not told:
        return True
    if "Mains" in told:
        return False
    raise NoValueError(  # a USB socket that is off may be one that feeds others
        "no charger says whether it is online, and no battery whether it is charged"
    )


def power_source(tree: Tree) -> str | None:
    """`mains` or `battery`; None where the system does not tell."""
    try:
        return "mains" if plugged(tree) else "battery"
    except (OSError, ValueError):
        return None


def charge(tree: Tree) -> float:
    """Of all batteries together, 0 to 1.

    By energy, else by charge; else the mean of the percentages, as if batteries were of one size.
    """
    folders = _some(tree)
    for kind in ("energy", "charge"):
        try:
            now = sum(whole(tree, f"{folder}/{kind}_now") for folder in folders)
            full = sum(_positive(tree, f"{folder}/{kind}_full") for folder in folders)
        except (OSError, ValueError):
            continue
        return min(max(now / full, 0.0), 1.0)
    percents = [whole(tree, f"{folder}/capacity") for folder in folders]
    return min(max(sum(percents) / len(percents) / 100, 0.0), 1.0)


def status(tree: Tree) -> str:
    """In the kernel's words: Charging, Discharging, Not charging, Full, Unknown.

    Of several batteries, that of the one that does most.
    """
    states = _states(tree, _some(tree))
    for state in ("Discharging", "Charging", "Not charging", "Full"):
        if state in states:
            return state
    return states[0] or "Unknown"


def discharge_w(tree: Tree) -> float:
    """Watts that batteries give. Raises NoValueError where none does, or none tells how much."""
    folders = _some(tree)
    giving = [f for f in folders if word(tree, f"{f}/status") == "Discharging"]
    if not giving:
        raise NoValueError(f"no battery is being discharged (status: {status(tree)})")
    watts = sum(_watts(tree, folder) for folder in giving)
    if watts == 0:
        raise NoValueError("the gauge says 0 W while the battery is being discharged")
    return watts


def undersized(tree: Tree) -> bool:
    """Whether the battery has to help a charger that is connected, now.

    A moment says little: firmware discharges beside a charger to keep a charge limit, too.
    """
    folders = _some(tree)
    if not plugged(tree) or "Discharging" not in _states(tree, folders):
        return False
    return discharge_w(tree) > UNDERSIZED_W


def _supplies(tree: Tree) -> list[str]:
    folders = [f"{FOLDER}/{name}" for name in tree.names(FOLDER)]
    return [folder for folder in folders if word(tree, f"{folder}/scope") != "Device"]


def _some(tree: Tree) -> list[str]:
    folders = batteries(tree)
    if not folders:
        raise NoValueError("there is no battery (any more)")
    return folders


def _states(tree: Tree, folders: Sequence[str]) -> list[str]:
    return [word(tree, f"{folder}/status") for folder in folders]


def _positive(tree: Tree, path: str) -> int:
    number = whole(tree, path)
    if number <= 0:
        raise ValueError(f"{path.rpartition('/')[2]} is {number}")
    return number


def _watts(tree: Tree, folder: str) -> float:
    """Of one battery, whatever the sign of its gauge."""
    try:
        return abs(whole(tree, f"{folder}/power_now")) / 1e6
    except (OSError, ValueError):
        current, voltage = (
            whole(tree, f"{folder}/current_now"),
            whole(tree, f"{folder}/voltage_now"),
        )
        return abs(current * voltage) / 1e12
