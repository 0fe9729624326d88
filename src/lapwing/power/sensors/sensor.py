"""A sensor: something with a name that can be read, and that never hangs and never raises."""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

from lapwing.power.sensors.deadline import DEADLINE_S, Deadline, SensorTimeoutError
from lapwing.power.sensors.reading import Quality, Quantity, Reading, Scope, T

MIN_EQUAL_READINGS = 10  # before a value that stays the same can be called stuck

Clock = Callable[[], float]


@dataclass(frozen=True, eq=False)
class Sensor(Generic[T]):
    """What is read, and how its values are judged.

    get: reads now; raises OSError or ValueError where there is no value. plausible: values outside
    are none (a sensor that is not wired reads 0 K or 255 °C). stuck_after_s: a value that stays the
    same for longer is called stuck; None where that is normal. must_move: readings count as stuck
    until the value has moved so far, for sensors that are often constants. limit: what the hardware
    calls critical or its maximum, in `unit`.
    """

    quantity: Quantity
    name: str
    unit: str
    source: str
    scope: Scope
    get: Callable[[], T]
    quality: Quality = "measured"
    note: str | None = None  # the reason that readings carry where the quality needs one
    plausible: tuple[float, float] | None = None
    stuck_after_s: float | None = None
    must_move: float | None = None
    limit: float | None = None
    deadline_s: float = DEADLINE_S
    deadline: Deadline = field(default_factory=Deadline, repr=False)
    clock: Clock = field(default=time.monotonic, repr=False)
    _watch: Watch = field(default_factory=lambda: Watch(), repr=False)

    def read(self) -> Reading[T]:
        """Now, within the deadline."""
        try:
            value = self.deadline.call(self.source, self.get, self.deadline_s)
        except (OSError, ValueError) as error:
            self._watch.forget()
            return self._reading(None, "unavailable", why(error))
        if self.plausible and not self.plausible[0] <= float(value) <= self.plausible[1]:
            low, high = self.plausible
            return self._reading(
                None, "unavailable", f"{value:g} {self.unit} is not between {low:g} and {high:g}"
            )
        same_s = self._watch.same_for_s(value, self.clock())
        if self.stuck_after_s is not None and same_s is not None and same_s > self.stuck_after_s:
            return self._reading(value, "stuck", f"the same for {same_s:.0f} s")
        if self.must_move is not None and self._watch.moved < self.must_move:
            reason = f"has not moved by {self.must_move:g} {self.unit} yet: it may be a constant"
            return self._reading(value, "stuck", reason)
        return self._reading(value, self.quality, self.note)

    def _reading(self, value: T | None, quality: Quality, reason: str | None) -> Reading[T]:
        return Reading(value, self.unit, self.source, self.scope, quality, self.clock(), reason)


class Watch:
    """For how long a value has been the same, and how far it ever moved."""

    def __init__(self) -> None:
        self._low, self._high = math.inf, -math.inf
        self.forget()

    @property
    def moved(self) -> float:
        """Between the lowest value and the highest."""
        return max(self._high - self._low, 0.0)

    def forget(self) -> None:
        """The next value begins anew."""
        self._value: object = None
        self._since_s = 0.0
        self._count = 0

    def same_for_s(self, value: object, now_s: float) -> float | None:
        """Seconds; None while there were too few readings to say."""
        if isinstance(value, float):
            self._low, self._high = min(self._low, value), max(self._high, value)
        if self._count == 0 or value != self._value:
            self._value, self._since_s, self._count = value, now_s, 0
        self._count += 1
        return now_s - self._since_s if self._count >= MIN_EQUAL_READINGS else None


def why(error: Exception) -> str:
    """One error as the reason for a missing value."""
    if isinstance(error, SensorTimeoutError):
        return str(error.strerror)
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        return "it is not there (any more)"
    if isinstance(error, OSError) and error.errno is not None:
        return f"the system says {errno.errorcode.get(error.errno, error.errno)}"
    return str(error) or type(error).__name__
