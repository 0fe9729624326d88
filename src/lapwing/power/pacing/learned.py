"""What earlier tokens tell: whether they have become slower, and what one costs."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lapwing.power.governor.slowdown import Detector

MIN_TIMED_S = 0.001  # shorter passes take as long as a machine's noise has it
KEPT = 512  # times between two looks; of more, the newest
PRICED_TOKENS = 8  # between two looks, from where on joules per token mean something
NEWEST = 0.2  # of what joules per token are said to be


class Learned:
    """Of one model on one machine. Told from any thread, asked by the one that looks."""

    def __init__(self) -> None:
        self.growth: Callable[[str], float] = lambda precision: 0.0  # see Detector.push
        self.joules_per_token: float | None = None  # everything the source has, as last used
        self._tokens = 0  # since the last look
        # A ring, made once: a token leaves nothing behind. Only `_timed` is ever ahead of `_read`.
        self._precisions = [""] * KEPT
        self._seconds, self._contexts = array("d", bytes(8 * KEPT)), array("q", bytes(8 * KEPT))
        self._timed = self._read = 0
        self._detectors: dict[str, Detector] = {}  # by precision
        self._on_battery: bool | None = None
        self._last_j: float | None = None

    def made(self, tokens: int) -> None:
        """Tokens of answers, or texts."""
        self._tokens += tokens

    def timed(self, precision: str, seconds: float, context: int) -> None:
        """A pass of one token of one answer, behind so many."""
        if seconds < MIN_TIMED_S:
            return
        at = self._timed % KEPT
        self._precisions[at], self._seconds[at] = precision, seconds
        self._contexts[at] = context
        self._timed += 1

    def taken(self, joules: float | None) -> int:
        """Tokens since the last look, at which its source had counted so many joules."""
        tokens, self._tokens = self._tokens, 0
        last, self._last_j = self._last_j, joules
        if last is not None and joules is not None and tokens >= PRICED_TOKENS and joules > last:
            now, known = (joules - last) / tokens, self.joules_per_token
            self.joules_per_token = now if known is None else known + NEWEST * (now - known)
        return tokens

    def rested(self) -> None:
        """Nobody looks for a while: joules until the next look are not those of tokens."""
        self._last_j = None

    def slowdown(self, on_battery: bool | None) -> float | None:
        """By the tokens since the last look; 0 where none is beyond noise. None: no tokens.

        Where the power source changes, clocks do, too: what was fast before tells nothing.
        """
        from lapwing.power.governor.slowdown import Detector

        if on_battery != self._on_battery:
            self._on_battery = on_battery
            self._detectors.clear()
            self._read = self._timed
        first, self._read = max(self._read, self._timed - KEPT), self._timed
        pushed = dict[str, Detector]()
        for i in range(first, self._read):
            precision, at = self._precisions[i % KEPT], i % KEPT
            detector = pushed.get(precision) or self._detectors.get(precision, Detector())
            pushed[precision] = detector.push(
                self._seconds[at], self._contexts[at], self.growth(precision)
            )
        self._detectors.update(pushed)
        known = [each for each in pushed.values() if each.slowdown is not None]
        return max((d.slowdown or 0.0 if d.alarmed else 0.0 for d in known), default=None)

    def objection(self, tokens: int, budget_j: float | None) -> str | None:
        """Why a budget is likely to end an answer of so many tokens."""
        price_j = self.joules_per_token
        if budget_j is None or price_j is None or tokens * price_j <= budget_j:
            return None
        return (
            f"{tokens} tokens take about {tokens * price_j:.0f} J here; the budget of "
            f"{budget_j:g} J is likely to end them after {budget_j / price_j:.0f}"
        )
