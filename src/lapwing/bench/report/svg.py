"""Charts as SVG text: scales, axes, marks. Colours are classes: a page may have two themes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Scale:
    """Values → places on the page, in a straight line."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value stands."""
        span = self.high - self.low or 1.0
        return self.begin + (value - self.low) / span * (self.end - self.begin)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from the first at or above low to the last at or below high."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    step = 10 ** math.floor(math.log10(span / wanted))
    for factor in (1, 2, 5, 10):
        if span / (step * factor) <= wanted:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(step * i, 12) for i in range(first, last + 1)]


def number(value: float) -> str:
    """As short as it is readable: `1,250`, `3.2`, `0.041`."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))) - 1)
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Chart:
    """Collects elements; coordinates are pixels of a box that grows with the page."""

    def __init__(self, width: int, height: int, name: str) -> None:
        self.width, self.height, self._name = width, height, name
        self._parts: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """From one point to another."""
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'
        )

    def text(
        self, x: float, y: float, text: str, kind: str = "label", anchor: str = "start"
    ) -> None:
        """Words; anchor: start, middle or end."""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def circle(self, x: float, y: float, radius: float, kind: str, told: str = "") -> None:
        """A point; told: what a pointer over it shows."""
        self._parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" class="{kind}">'
            f"<title>{escape(told)}</title></circle>"
        )

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str, told: str = ""
    ) -> None:
        """A bar."""
        size = f'width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" {size} rx="2" class="{kind}">'
            f"<title>{escape(told)}</title></rect>"
        )

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points."""
        if points:
            steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            self._parts.append(f'<path d="M{steps}" class="{kind}"/>')

    def area(self, points: Sequence[tuple[float, float]], base: float, kind: str) -> None:
        """Between points and a straight line at `base`."""
        if points:
            (x0, _), (x1, _) = points[0], points[-1]
            self.closed([(x0, base), *points, (x1, base)], kind)

    def closed(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A polygon."""
        steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self._parts.append(f'<path d="M{steps}Z" class="{kind}"/>')

    def x_axis(self, scale: Scale, y: float, top: float, title: str, wanted: int = 5) -> None:
        """Ticks below y, lines up to top."""
        for value in ticks(scale.low, scale.high, wanted):
            x = scale(value)
            self.line(x, top, x, y, "grid")
            self.text(x, y + 16, number(value), "tick", "middle")
        self.text((scale.begin + scale.end) / 2, y + 34, title, "axis", "middle")

    def y_axis(self, scale: Scale, x: float, right: float, title: str) -> None:
        """Ticks left of x, lines up to right; the title above."""
        for value in ticks(scale.low, scale.high):
            y = scale(value)
            self.line(x, y, right, y, "grid")
            self.text(x - 8, y + 4, number(value), "tick", "end")
        self.text(x - 8, scale.end - 12, title, "axis", "start")

    def __str__(self) -> str:
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self._name, quote=True)}">{"".join(self._parts)}</svg>'
        )
