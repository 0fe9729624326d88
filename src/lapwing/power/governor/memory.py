"""What the governor's controllers remember from one step to the next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Memory:
    """Fresh: nothing has been seen yet."""

    time_s: float = 0.0  # sum of the steps
    duty: float = 1.0  # of the last command
