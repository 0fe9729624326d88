"""What a sensor says: one value, with all that makes it believable, or None with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T", float, bool, str)

Quality = Literal[
    "measured",
    "estimated",  # worked out from something else; never to be compared with what was measured
    "stuck",  # measured, but the same for so long that the sensor has probably stopped
    "unavailable",
]
Scope = Literal[  # what the value is of
    "machine",  # all of it: what the battery or the charger feeds
    "package",  # the processor's chip
    "cores",
    "dram",
    "cpu",  # one logical CPU, or all of them
    "gpu",
    "npu",
    "board",  # anywhere else in the case
    "battery",
]
Quantity = Literal[
    "energy",
    "power",
    "temperature",
    "frequency",
    "throttle",
    "pressure",
    "fan",
    "plugged",
    "undersized",
    "charge",
    "status",
    "profile",
]


@dataclass(frozen=True)
class Reading(Generic[T]):
    """One value at one moment.

    value: in `unit`; None: there is none, and `reason` says why. unit: J, W, °C, MHz, rpm, s; 1 is
    a fraction or a count, and the empty unit belongs to words and to yes and no. source: the file
    or call it is from. time_s: on the monotonic clock, when it was read.
    """

    value: T | None
    unit: str
    source: str
    scope: Scope
    quality: Quality
    time_s: float
    reason: str | None = None

    def age_s(self, now_s: float) -> float:
        """Since it was read."""
        return now_s - self.time_s


@dataclass(frozen=True)
class Missing:
    """A sensor that is not here, or that cannot be used. remedy: what would change that."""

    quantity: Quantity
    name: str
    source: str
    reason: str
    remedy: str | None = None
