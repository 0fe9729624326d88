"""What a monitor sees at one moment, and the same as a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from lapwing.power.governor.observation import Observation
from lapwing.power.pacing.status import Status
from lapwing.power.strict import decode

FORMAT = "lapwing monitor 1"


@dataclass(frozen=True)
class Line:
    """One sensor as it was read; None with its reason. limit: its critical value or maximum."""

    quantity: str
    value: float | bool | str | None
    unit: str
    source: str
    scope: str
    quality: str
    reason: str | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What the governor makes of it in its mode `observe`. admit: background work might run."""

    mode: str
    duty: float
    admit: bool
    shed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """Of one moment of the wall clock. readings: by the sensors' names, of each quantity the most
    trustworthy first. missing: why there is nothing, by quantity. processes: what runs here."""

    time_s: float
    readings: dict[str, Line]
    missing: dict[str, str]
    observation: Observation
    governor: Verdict
    processes: tuple[Status, ...]

    def of(self, quantity: str) -> Iterator[tuple[str, Line]]:
        """Names and readings of one quantity."""
        return ((name, line) for name, line in self.readings.items() if line.quantity == quantity)

    def to_json(self) -> str:
        """One line, without its end."""
        return json.dumps({"format": FORMAT, **asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Sample:
        """Raises ValueError for what `to_json` has not written."""
        try:
            found = json.loads(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
            raise ValueError(f"'format' is not {FORMAT!r}")
        return decode(cls, found, "sample")
