"""How many tokens a pass over texts is best at: found on the work itself, and kept for a machine.

In small passes too few tokens share weights that were unpacked; large ones leave the caches.
Windows of a long job take turns with several sizes; a text's vector is the same bits at each.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence

from lapwing.backends import topology
from lapwing.backends.base import Backend
from lapwing.engine import threads
from lapwing.engine.encoding import MIN_PASS_TOKENS, tokens_of_a_pass
from lapwing.models.base import EncoderConfig
from lapwing.weights import notes

FILE = "passes.json"
FACTORS = (0.25, 0.5, 1.0)  # of the size by its formula, which is the cap of memory
ROUNDS = 3  # windows of each size
FULL_PASSES = 3  # of a window that counts
AS_GOOD = 1.03  # so much slower than the best is as good, with less memory

log = logging.getLogger("lapwing.engine")


class PassSize:
    """Of one model at one precision. key: what is kept is kept by it; None keeps nothing."""

    def __init__(self, sizes: Sequence[int], first: int, key: str | None) -> None:
        self._rates: dict[int, list[float]] = {size: [] for size in sorted(set(sizes))}
        self._key = key
        self.tokens, self.known = first, len(self._rates) == 1
        kept = notes.recall(FILE).get(key) if key is not None else None
        if isinstance(kept, int) and kept in self._rates:
            self.tokens, self.known = kept, True

    @classmethod
    def of(cls, config: EncoderConfig, backend: Backend, precision: str) -> PassSize:
        """What the formula says, and less."""
        first = tokens_of_a_pass(config)
        sizes = [max(MIN_PASS_TOKENS, int(first * factor)) for factor in FACTORS]
        key = " | ".join(
            (
                threads.key(backend.isa, topology.read()),
                f"{backend.prefill_threads} threads",
                f"{config.model_type} {config.hidden_size} {config.intermediate_size}",
                precision,
            )
        )
        return cls(sizes, first, key)

    def took(self, tokens: int, seconds: float) -> None:
        """A window of so many tokens, in passes of `self.tokens`; chooses the next size."""
        if self.known or seconds <= 0.0 or tokens < FULL_PASSES * max(self._rates):
            return
        self._rates[self.tokens].append(tokens / seconds)
        waiting = [size for size, rates in self._rates.items() if len(rates) < ROUNDS]
        if waiting:
            self.tokens = min(waiting, key=lambda size: len(self._rates[size]))
            return
        rates = {size: statistics.median(found) for size, found in self._rates.items()}
        self.tokens = min(s for s, rate in rates.items() if rate * AS_GOOD >= max(rates.values()))
        self.known = True
        told = ", ".join(f"{size}: {rate:.0f}" for size, rate in rates.items())
        log.info("passes of %d tokens, measured (tokens/s by size: %s)", self.tokens, told)
        if self._key is not None:
            notes.remember(FILE, {self._key: self.tokens})
