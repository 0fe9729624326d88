"""What a generation gives back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lapwing.backends.base import Floats

FinishReason = Literal["stop", "length", "interrupted", "battery", "energy_budget"]


@dataclass(frozen=True)
class Timings:
    """Seconds, from monotonic clocks. None: there was nothing to measure.

    ttft_s: from the call to the first non-empty text, tokenization included. tpot_s: from the first
    token to the last, per token after the first. In a batch a pass is of several answers, and its
    time is that of each.
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
class Candidate:
    """A token, its text, and the natural logarithm of its probability."""

    token_id: int
    token: str
    logprob: float


@dataclass(frozen=True)
class TokenLogprob(Candidate):
    """A token of the answer, and the likeliest in its place, best first.

    Probabilities are the model's: softmax of its logits, before penalties, temperature and filters.
    """

    top: list[Candidate]


@dataclass(frozen=True)
class StreamChunk:
    """A piece of the answer: whole characters, and the token that completed them.

    logprobs: of the tokens since the piece before; None where none were asked for.
    """

    text: str
    token: int | None
    logprobs: list[TokenLogprob] | None = None


@dataclass(frozen=True)
class PrecisionSwitch:
    """From this token of the answer on, counted from 0, passes read the weights as `dtype`."""

    token: int
    dtype: str
    reason: str


@dataclass(frozen=True)
class GenerationResult:
    """The answer, how it ended, what it took, and what was chosen for it.

    finish_reason: battery: there was hardly any charge left; energy_budget: its joules were spent.
    dtype: of its last pass; `precision_switches` say where it became that; at token 0 the governor
    chose it. duty: share of the time that was worked, the rest were pauses. energy_j: of the whole
    `energy_scope`, whatever else ran on it. power_source: mains or battery. governor: what it did
    to this answer. unknown: why a field of these is None, by its name.
    """

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
    logprobs: list[TokenLogprob] | None = None  # one a token; None where none were asked for
    precision_switches: list[PrecisionSwitch] = field(default_factory=list)
    duty: float | None = None
    energy_j: float | None = None
    energy_scope: str | None = None
    power_source: str | None = None
    governor: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class EncoderOutput:
    """float32: last_hidden_state [L, D] for 1-D ids, [B, L, D] for 2-D; zeros where the mask is 0.

    pooler_output [D] or [B, D]; None where the checkpoint has no pooler.
    """

    last_hidden_state: Floats
    pooler_output: Floats | None


@dataclass(frozen=True)
class EmbeddedTexts:
    """Texts start, start + 1, … as vectors [n, D]; what they were in tokens.

    token_counts: as embedded, special tokens included. truncated: indices of texts that were cut.
    """

    start: int
    vectors: Floats
    token_counts: list[int]
    truncated: list[int]


@dataclass(frozen=True)
class Filling:
    """A token for a mask, as text, its probability, and the whole text with it."""

    token: str
    token_id: int
    score: float
    text: str


@dataclass(frozen=True)
class Label:
    """A label and its probability; of a regression, its value."""

    label: str
    score: float


@dataclass(frozen=True)
class Ranked:
    """Which document, and how well it answers the query."""

    index: int
    score: float
