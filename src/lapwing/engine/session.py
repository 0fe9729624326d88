"""A session: one timeline of tokens on a shared model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapwing.backends.base import Floats
from lapwing.engine.passes import Passes
from lapwing.layers.kv_cache import KVCache


@dataclass
class Session:
    """Mutable, owned by one thread; the model behind it is shared."""

    passes: Passes
    cache: KVCache

    def feed(self, ids: Sequence[int], precision: str) -> Floats:
        """Appends `ids` (at least one) → logits [V] of the last."""
        return self.passes.run([ids], [self.cache], precision, last_only=True)[0][0]

    def prefill(self, ids: Sequence[int], precision: str) -> Floats:
        """Makes the timeline exactly `ids` → logits [V] of the last; what is cached is reused."""
        return self.feed(self.rewind(ids), precision)

    def rewind(self, ids: Sequence[int]) -> Sequence[int]:
        """Cuts the timeline to what it shares with `ids` → the rest of them, at least one."""
        keep = self.cache.reusable(ids)
        self.cache.truncate(keep)
        return ids[keep:]
