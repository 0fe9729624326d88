"""What work owes in pauses: a debt that is carried, so that errors of timers do not add up.

A share d of the time is worked where every second of work is followed by (1 − d)/d of rest. ds4's
`--power` sleeps by a mean of earlier times; here what was slept, too long or too short, is counted.
"""

from __future__ import annotations

MIN_PAUSE_S = 0.01  # shorter ones wake threads for nothing; a chip moves by 0.2 °C in 20 ms
MAX_PAUSE_S = 0.1  # longer ones make a chip's temperature and a fan swing
MAX_CARRIED_S = 1.0  # of old debt: a slow first token is not slept for again and again


class Debt:
    """Of one stream of work. Seconds; no clock."""

    def __init__(self) -> None:
        self.owed_s = 0.0  # below 0: slept more than was owed
        self._piece_s = 0.0

    def work(self, seconds: float, duty: float, *, spread: bool = False) -> None:
        """A piece of work was done at this duty, above 0 and at most 1.

        spread: what it owes is paid bit by bit, behind the pieces after it; at most MAX_CARRIED_S.
        """
        piece_s = seconds * (1.0 - duty) / duty
        self._piece_s = 0.0 if spread else piece_s
        self.owed_s = min(self.owed_s, MAX_CARRIED_S) + piece_s
        if spread:
            self.owed_s = min(self.owed_s, MAX_CARRIED_S)

    def more(self, seconds: float, duty: float) -> None:
        """The last piece was longer by so much."""
        piece_s = seconds * (1.0 - duty) / duty
        self._piece_s += piece_s
        self.owed_s += piece_s

    @property
    def pause_s(self) -> float:
        """To be slept before the next piece.

        Nothing below MIN_PAUSE_S: it stays owed. At most MAX_PAUSE_S, unless the last piece alone
        owes more: that many would follow anyway.
        """
        if self.owed_s < MIN_PAUSE_S:
            return 0.0
        return min(self.owed_s, max(MAX_PAUSE_S, self._piece_s))

    def slept(self, seconds: float) -> None:
        """As measured; too much is credit for the next pause, one pause's worth at most."""
        self.owed_s = max(self.owed_s - seconds, -MAX_PAUSE_S)

    def rested(self, seconds: float) -> None:
        """Nothing was asked of us for so long: that pays, too, and leaves no credit."""
        self.owed_s = min(self.owed_s, max(self.owed_s - seconds, 0.0))
