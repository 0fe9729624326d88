"""What a generation gives back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

FinishReason = Literal["stop", "length", "interrupted"]


@dataclass(frozen=True)
class Timings:
    """Seconds, from monotonic clocks. None: there was nothing to measure.

    ttft_s: from the call to the first non-empty text, tokenization included. tpot_s: from the first
    token to the last, per token after the first.
    """

    load_s: float
    prefill_s: float
    decode_s: float
    ttft_s: float | None
    tpot_s: float | None
    prefill_tps: float | None
    decode_tps: float | None
    total_s: float


@dataclass(frozen=True)
class StreamChunk:
    """A piece of the answer: whole characters, and the token that completed them."""

    text: str
    token: int | None


@dataclass(frozen=True)
class GenerationResult:
    """The answer, how it ended, what it took, and what was chosen for it."""

    text: str
    tokens: list[int]
    prompt_tokens: int
    finish_reason: FinishReason
    timings: Timings
    dtype: str
    backend: str
    isa: str
    threads: int
    seed: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
