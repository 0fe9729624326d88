"""What an evaluation found. `None` is what was not measured; `not_measured` says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lapwing.bench.quality.estimate import Estimate


@dataclass(frozen=True)
class Certain:
    """Mean KL where the reference was kept in part (kept.py), in nats.

    low, high: it is between them, whatever was drawn. standard_error: of the estimate, by what was
    drawn; it is part of the estimate's own error.
    """

    low: float
    high: float
    standard_error: float


Stopped = Literal["text", "tokens", "time", "interrupted"]


@dataclass(frozen=True)
class Quality:
    """One precision or checkpoint against the reference.

    perplexity: e to the mean −log p of a token (windows.windows says which, and from what).
    perplexity_ratio: to the reference's, with the error of the ratio: both read the same text.
    kl_nats: KL(reference ‖ this) of the next token's distribution, mean over positions. kl_certain:
    where it lies for certain, None for a reference that is here whole. kl_p99_nats: what one
    position in a hundred exceeds. top1_agreement: how often both find the same token likeliest (0
    to 1). cosine_mean, cosine_min: of a text's vector with the reference's. spearman: rank
    correlation of the cosines of labelled pairs with their scores. held_bytes: weights that passes
    read from.
    """

    name: str
    dtype: str
    held_bytes: int | None = None
    perplexity: Estimate | None = None
    perplexity_ratio: Estimate | None = None
    kl_nats: Estimate | None = None
    kl_p99_nats: Estimate | None = None
    kl_certain: Certain | None = None
    top1_agreement: Estimate | None = None
    cosine_mean: Estimate | None = None
    cosine_min: float | None = None
    spearman: Estimate | None = None
    not_measured: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EvalResult:
    """kind: causal or encoder. text: what was read. rows: the reference first, where it is here.

    tokens: of the text that were read, of tokens_in_text; scored: of those, what figures are over
    (positions, or texts of an encoder), in so many blocks. stopped: what ended it: the text, the
    budget of tokens, the time, or Ctrl-C. took_s: measuring alone, without loading.
    """

    kind: Literal["causal", "encoder"]
    reference: str
    text: str
    rows: tuple[Quality, ...]
    stopped: Stopped
    scored: int
    blocks: int
    took_s: float
    tokens: int | None = None
    tokens_in_text: int | None = None
    window: int | None = None
    stride: int | None = None
    pairs: int | None = None

    def row(self, dtype: str) -> Quality:
        """The first of this dtype. Raises KeyError."""
        for row in self.rows:
            if row.dtype == dtype:
                return row
        raise KeyError(dtype)
