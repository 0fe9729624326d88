"""One request as the governor sees it: since when somebody waits, and what it took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lapwing.power.pacing.pacer import Pacer


MOST_NOTES = 32


@dataclass(frozen=True)
class Mark:
    """A moment, and the joules so far; None: nobody was reading then."""

    time_s: float
    joules: float | None


@dataclass(frozen=True)
class Used:
    """Since a mark. joules: None, and why; idle_j: of them, what the idle machine would take."""

    joules: float | None
    idle_j: float | None
    seconds: float
    scope: str | None
    reason: str | None = None


@dataclass(frozen=True)
class PowerUse:
    """What a request took. None: not known, and `unknown` says why, by the field's name.

    energy_j: everything `energy_scope` took meanwhile. duty: share of the time that was worked.
    acted: what the governor did, and why, in its words.
    """

    energy_j: float | None = None
    energy_scope: str | None = None
    power_source: str | None = None
    duty: float | None = None
    acted: tuple[str, ...] = ()
    unknown: dict[str, str] = field(default_factory=dict)


class PacedRequest:
    """Begun by `open`, ended by `close`; in between the governor may set `stop`."""

    def __init__(self, pacer: Pacer, *, interactive: bool) -> None:
        self.interactive = interactive
        self.stop: Literal["battery", "energy_budget", "interrupted"] | None = None
        self.tokens = 0  # that it may make at most
        self._pacer = pacer
        self._began_s = time.perf_counter()
        self._mark: Mark | None = None
        self._worked_s = self._paused_s = 0.0
        self._use: PowerUse | None = None
        self._acted: list[str] = []

    @property
    def waited_s(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._began_s

    def open(self) -> None:
        """Its work begins."""
        pacer = self._pacer
        self._began_s = time.perf_counter()
        self._worked_s, self._paused_s = pacer.pauses.worked_s, pacer.pauses.paused_s
        pacer.opened(self)
        self._mark = pacer.mark()

    def close(self) -> None:
        """Its work has ended; a second call does nothing."""
        if self._use is None and self._mark is not None:
            self._use = self._taken()
        self._pacer.closed(self)

    def cancel(self) -> None:
        """From any thread: it ends at its next border, and the pause before that at once."""
        self.stop = "interrupted"
        self._pacer.pauses.nudge()

    def note(self, text: str) -> None:
        """What the governor does from now on; the last few stay."""
        if self._acted[-1:] != [text]:
            self._acted = [*self._acted, text][-MOST_NOTES:]

    def net_joules(self) -> float | None:
        """So far, less what the idle machine would take, where that is known."""
        used = self._used()
        if used is None or used.joules is None:
            return None
        return used.joules - (used.idle_j or 0.0)

    @property
    def use(self) -> PowerUse:
        """So far, or as it was when it ended."""
        if self._use is not None:
            return self._use
        return PowerUse() if self._mark is None else self._taken()

    def _used(self) -> Used | None:
        return None if self._mark is None else self._pacer.since(self._mark)

    def _taken(self) -> PowerUse:
        unknown: dict[str, str] = {}
        used = self._used()
        if used is None or used.joules is None:
            unknown["energy_j"] = "nobody was reading" if used is None else str(used.reason)
        source, why = self._pacer.power_source()
        if source is None:
            unknown["power_source"] = why
        pauses = self._pacer.pauses
        worked_s, paused_s = pauses.worked_s - self._worked_s, pauses.paused_s - self._paused_s
        duty = worked_s / (worked_s + paused_s) if worked_s > 0.0 else None
        if duty is None:
            unknown["duty"] = "no pass was run"
        return PowerUse(
            None if used is None else used.joules,
            None if used is None else used.scope,
            source,
            duty,
            tuple(self._acted),
            unknown,
        )
