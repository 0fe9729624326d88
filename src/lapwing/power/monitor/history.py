"""Values of the last minutes."""

from __future__ import annotations

from collections import deque

MAX_VALUES = 100_000


class History:
    """Of one series. Times are the samples' own, so that a replay has the same."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._values: deque[tuple[float, float]] = deque(maxlen=MAX_VALUES)

    def __bool__(self) -> bool:
        """Whether anything was seen."""
        return bool(self._values)

    def add(self, time_s: float, value: float) -> None:
        """One more. Where the clock was put back, what it will tell again is forgotten."""
        while self._values and self._values[-1][0] >= time_s:
            self._values.pop()
        while self._values and self._values[0][0] < time_s - self._span_s:
            self._values.popleft()
        self._values.append((time_s, value))

    def bars(self, now_s: float, count: int) -> list[float | None]:
        """Means of so many equal parts of the span, the newest last; None: nothing was seen then.

        Parts begin at whole multiples of their length, so that a value stays in its part.
        """
        part_s = self._span_s / count
        last = int(now_s // part_s)
        parts: list[list[float]] = [[] for _ in range(count)]
        for time_s, value in self._values:
            index = int(time_s // part_s) - last + count - 1
            if 0 <= index < count:
                parts[index].append(value)
        return [sum(part) / len(part) if part else None for part in parts]
