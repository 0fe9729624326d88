"""What transformers says about a Llama or a friend of it, wherever the length has a say.

Dynamic NTK and longrope turn every position of a sequence by what its length is, so that the length
of a batch, or of what ran before, would move the answer.  Here each sequence is asked by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from oracle import FloatArray, Greedy, IntArray, Oracle


class LlamaOracle(Oracle):
    """A directory run by transformers; weights widened to float32."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        rope = self._model.config.rope_parameters
        self._rope = rope.get("full_attention", rope)

    @property
    def switch(self) -> int | None:
        """Sequences that are longer turn by other factors; None where no length matters."""
        if self._rope["rope_type"] == "dynamic":
            return self.n_positions
        if self._rope["rope_type"] == "longrope":
            return int(self._rope["original_max_position_embeddings"])
        return None

    def logits(self, ids: Sequence[int]) -> FloatArray:
        """Logits [L, V] of one sequence."""
        if self._rope["rope_type"] == "dynamic":
            super().logits([0])  # one token sets back what a longer sequence has left
        return super().logits(ids)

    def greedy(self, ids: Sequence[int], max_tokens: int) -> Greedy:
        """As Oracle's, and on the prompt's side of `switch`: cached keys do not turn again."""
        if self.switch is not None and len(ids) <= self.switch:
            max_tokens = min(max_tokens, self.switch - len(ids))
        return super().greedy(ids, max_tokens)

    def sample(self, rows: int, length: int, seed: int) -> IntArray:
        """Ids [rows, length] drawn at temperature 1, each row from the token that begins a text."""
        bits = np.random.PCG64(seed)
        ids = np.full((rows, 1), self._model.config.bos_token_id, np.int64)
        while ids.shape[1] < length:
            with self._torch.no_grad():
                logits = self._model(self._torch.from_numpy(ids), use_cache=False).logits[:, -1]
            probs = self._torch.softmax(logits.double(), -1).numpy()  # [rows, V]
            uniform = (bits.random_raw(rows) >> np.uint64(11)) * 2.0**-53
            drawn = (probs.cumsum(-1) < uniform[:, None] * probs.sum(-1, keepdims=True)).sum(-1)
            ids = np.concatenate([ids, drawn[:, None]], axis=1)
        return ids

    def alike(self, sequences: Sequence[Sequence[int]]) -> list[list[Sequence[int]]]:
        """The sequences, those together that may stand in one batch."""
        if self.switch is None:
            return [list(sequences)]
        short = [ids for ids in sequences if len(ids) <= self.switch]
        long = [ids for ids in sequences if len(ids) > self.switch]
        return [group for group in (short, long) if group]
