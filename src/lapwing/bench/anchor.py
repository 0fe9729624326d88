"""A fixed piece of work that tells whether the machine is still as fast as it was."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

PIECES = 15
VALUES = np.linspace(1.0, 2.0, 1 << 17)  # 1 MiB: in the second cache, or near it


def probe() -> float:
    """Seconds of the fastest of several pieces: what interrupts some does not count."""
    best_s = float("inf")
    for _ in range(PIECES):
        began_s = time.perf_counter()
        np.sqrt(VALUES * VALUES + VALUES).sum()
        best_s = min(best_s, time.perf_counter() - began_s)
    return best_s


class Anchor:
    """Compares probes with the first one, which is the mark.

    Where the machine does not come back to it, the mark moves to where the machine is now, and
    `moved` says so: measurements go on, but those before and after it are not alike.
    """

    def __init__(
        self,
        drift: float,
        cool_s: float,
        *,
        probe: Callable[[], float] = probe,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._drift, self._cool_s = drift, cool_s
        self._probe, self._sleep = probe, sleep
        self.mark_s = min(probe() for _ in range(3))
        self.moved: str | None = None
        self.cooled_s = 0.0

    def off(self) -> float:
        """How far the machine is from the mark now: 0.1 is 10 % slower, −0.1 10 % faster."""
        return self._probe() / self.mark_s - 1

    def holds(self) -> bool:
        """Whether what was measured since the last call can be believed.

        False: it drifted; if waiting has not brought it back, the mark has moved.
        """
        off = self.off()
        if abs(off) <= self._drift:
            return True
        first, pause_s, waited_s = off, 0.5, 0.0
        while abs(off) > self._drift and waited_s + pause_s <= self._cool_s:
            self._sleep(pause_s)
            waited_s += pause_s
            self.cooled_s += pause_s
            pause_s *= 2
            off = self.off()
        if abs(off) > self._drift:
            self.moved = self.moved or (
                f"the anchor drifted by {first:+.0%}, and was still {off:+.0%} off after "
                f"{waited_s:.1f} s of waiting"
            )
            self.mark_s *= 1 + off
            self._cool_s = 0.0  # it has not helped
        return False
