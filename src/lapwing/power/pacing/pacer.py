"""The one protocol through which power reaches the engine."""

from __future__ import annotations

from typing import Literal, Protocol

Work = Literal["prefill", "decode", "encode"]


class Pacer(Protocol):
    """Of one request. The engine calls it between passes; it may wait there, and be cut short.

    With no pacer an engine runs as fast as it can.
    """

    def pass_tokens(self, work: Work) -> int | None:
        """How many tokens the next pass may have, so that it ends soon enough; None: any number."""

    def after(self, work: Work, tokens: int, context: int, work_s: float) -> None:
        """A pass ended: `tokens` of it, behind `context` others, in work_s. Pauses as is due."""

    def precision(self, wanted: str) -> tuple[str, str]:
        """What the next pass reads, and why; `wanted` where nothing is to change."""

    def stop(self) -> str | None:
        """The finish_reason where the request is to end now: "battery" or "energy_budget"."""
