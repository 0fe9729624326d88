"""Window after window: what the reference finds likely, and what each candidate loses to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from lapwing.bench.quality.distance import Doubles, log_softmax, nll_of
from lapwing.bench.quality.estimate import mean_of, of_blocks
from lapwing.bench.quality.kept import Kept, Losses, Whole
from lapwing.bench.quality.predict import Predictor
from lapwing.bench.quality.result import Certain, Quality, Stopped
from lapwing.bench.quality.windows import Window

Progress = Callable[[int, int], None]  # (blocks done, blocks in all)


@dataclass(frozen=True)
class Truth:
    """What the reference says of a piece of positions: distributions, and −log p of what stood."""

    distributions: Whole | Kept
    nll: Doubles


class Reference(Protocol):
    """What candidates are compared with."""

    def pieces(self, at: int, window: Window, ids: Sequence[int]) -> Iterator[Truth]:
        """Of the scored tokens of window number `at`, in pieces as predictors give them."""
        ...


class LiveReference:
    """A loaded model; `on_piece` sees each piece, to keep it."""

    def __init__(
        self, predictor: Predictor, on_piece: Callable[[Whole, Doubles], None] | None = None
    ) -> None:
        self._predictor, self._on_piece = predictor, on_piece

    def pieces(self, at: int, window: Window, ids: Sequence[int]) -> Iterator[Truth]:
        """See Reference."""
        first = window.first
        for logits in self._predictor(ids[window.begin : window.end], first - window.begin):
            logp = log_softmax(logits)
            truth = Truth(Whole(logp), nll_of(logp, ids[first : first + len(logp)]))
            first += len(logp)
            if self._on_piece is not None:
                self._on_piece(Whole(logp), truth.nll)
            yield truth


@dataclass
class Tally:
    """Of the reference or a candidate: per block, values of each position."""

    nll: list[Doubles] = field(default_factory=list)
    losses: list[Losses] = field(default_factory=list)

    def column(self, name: str) -> list[Doubles]:
        """Of the losses, one of their fields."""
        return [getattr(each, name).astype(np.float64) for each in self.losses]


@dataclass(frozen=True)
class Measured:
    """The reference's own tally, and each candidate's; `blocks` windows were done."""

    reference: Tally
    candidates: list[Tally]
    blocks: int
    stopped: Stopped
    took_s: float


def measure(
    ids: Sequence[int],
    blocks: Sequence[Window],
    reference: Reference,
    candidates: Sequence[Predictor],
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Measured:
    """All candidates on a window, then the next: whatever ends it, they have read the same.

    seconds: no window is begun that would end later, going by those before it; the first always
    is. Ctrl-C keeps what is done, and is raised where that is nothing.
    """
    own, tallies, done = Tally(), [Tally() for _ in candidates], 0
    began_s = clock()
    stopped: Stopped = "text"
    try:
        for at, window in enumerate(blocks):
            if out_of_time(clock() - began_s, at, seconds):
                stopped = "time"
                break
            nll, found = _block(at, window, ids, reference, candidates)
            own.nll.append(nll)
            for tally, (its_nll, losses) in zip(tallies, found, strict=True):
                tally.nll.append(its_nll)
                tally.losses.append(losses)
            done = at + 1
            if progress is not None:
                progress(done, len(blocks))
    except KeyboardInterrupt:
        if not done:
            raise
        stopped = "interrupted"
        for each in (own, *tallies):  # it may have come between two of them
            del each.nll[done:], each.losses[done:]
    return Measured(own, tallies, done, stopped, clock() - began_s)


def out_of_time(spent_s: float, done: int, seconds: float | None) -> bool:
    """Whether one more block, as long as those before it, would end too late."""
    return seconds is not None and done > 0 and spent_s * (done + 1) / done > seconds


def _block(
    at: int,
    window: Window,
    ids: Sequence[int],
    reference: Reference,
    candidates: Sequence[Predictor],
) -> tuple[Doubles, list[tuple[Doubles, Losses]]]:
    """−log p of the reference, and of each candidate with its losses: of one window."""
    part, offset = ids[window.begin : window.end], window.first - window.begin
    streams = [predict(part, offset) for predict in candidates]
    own: list[Doubles] = []
    nll: list[list[Doubles]] = [[] for _ in candidates]
    losses: list[list[Losses]] = [[] for _ in candidates]
    first = window.first
    for truth in reference.pieces(at, window, ids):
        tokens = ids[first : first + len(truth.nll)]
        first += len(tokens)
        own.append(truth.nll)
        for i, stream in enumerate(streams):
            logq = log_softmax(next(stream))
            nll[i].append(nll_of(logq, tokens))
            losses[i].append(truth.distributions.losses(logq))
    joined = [
        (np.concatenate(mine), Losses(*map(np.concatenate, zip(*lost, strict=True))))
        for mine, lost in zip(nll, losses, strict=True)
    ]
    return np.concatenate(own), joined


def quality(name: str, dtype: str, tally: Tally, reference: Tally, **known: Any) -> Quality:
    """A candidate's figures, out of what was tallied."""
    ratio = mean_of([a - b for a, b in zip(tally.nll, reference.nll, strict=True)])
    kl = tally.column("kl")
    return Quality(
        name,
        dtype,
        perplexity=mean_of(tally.nll).exp(),
        perplexity_ratio=ratio.exp(),
        kl_nats=mean_of(kl),
        kl_p99_nats=of_blocks(kl, lambda values: float(np.percentile(values, 99))),
        kl_certain=_certain(tally),
        top1_agreement=mean_of(tally.column("same_top")),
        **known,
    )


def _certain(tally: Tally) -> Certain | None:
    low, high = (mean_of(tally.column(name)).value for name in ("low", "high"))
    if low == high:
        return None
    variance = np.concatenate(tally.column("variance"))
    return Certain(low, high, float(np.sqrt(variance.sum())) / len(variance))


def own_quality(name: str, dtype: str, reference: Tally, **known: Any) -> Quality:
    """The reference's perplexity; it has nothing to lose to itself."""
    is_reference = "it is the reference"
    columns = ("perplexity_ratio", "kl_nats", "kl_p99_nats", "kl_certain", "top1_agreement")
    reasons = dict.fromkeys(columns, is_reference)
    perplexity = mean_of(reference.nll).exp()
    return Quality(name, dtype, perplexity=perplexity, not_measured=reasons, **known)
