"""What transformers says about a checkpoint: float32, eager attention, one thread.

Used by tools/make_goldens.py (which writes the answers down) and by the live tests (which ask
anew).  torch and transformers are imported on first use.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Greedy:
    """A greedy continuation and, per step, how clear the choice was.

    `margins` are the differences between the two largest logits, over the step's largest absolute
    logit: the unit in which tests/tolerances.py gives its bounds.
    """

    tokens: list[int]
    margins: FloatArray  # [steps]


class Oracle:
    """A causal model's directory run by transformers; weights widened to float32.

    Loading fails unless every tensor of the file found its parameter and every parameter its
    tensor.
    """

    def __init__(self, directory: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        self._torch = torch
        # Not `.float()` afterwards: Gemma's factor on embeddings is rounded to what is loaded as.
        load: Any = AutoModelForCausalLM.from_pretrained
        model, report = load(
            str(directory),
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            assert not report[kind], f"{kind}: {report[kind]}"
        self._model: Any = model.eval()
        parameters = inspect.signature(model.forward).parameters
        self._cache = "cache" if "cache" in parameters else "past_key_values"  # since 5.24
        self.n_positions: int = model.config.max_position_embeddings
        self.vocab_size: int = model.config.vocab_size

    def logits(self, ids: Sequence[int]) -> FloatArray:
        """Logits [L, V] of one sequence."""
        with self._torch.no_grad():
            output = self._model(self._torch.tensor([list(ids)]), use_cache=False)
        return np.asarray(output.logits[0].numpy(), np.float32)

    def hidden_states(self, ids: Sequence[int]) -> list[FloatArray]:
        """h [L, D] of one sequence: embedded, then after each layer but the last."""
        with self._torch.no_grad():
            output = self._model(
                self._torch.tensor([list(ids)]), use_cache=False, output_hidden_states=True
            )
        # transformers gives the last layer's after the final norm
        return [np.asarray(h[0].numpy(), np.float32) for h in output.hidden_states[:-1]]

    def padded_logits(self, ids: IntArray, attention_mask: IntArray) -> FloatArray:
        """Logits [B, L, V]; positions count real tokens only, as `generate` does."""
        mask = self._torch.from_numpy(attention_mask)
        with self._torch.no_grad():
            output = self._model(
                self._torch.from_numpy(ids),
                attention_mask=mask,
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
                use_cache=False,
            )
        return np.asarray(output.logits.numpy(), np.float32)

    def greedy(self, ids: Sequence[int], max_tokens: int) -> Greedy:
        """Up to `max_tokens` greedy tokens with a KV cache, EOS ignored, context respected."""
        steps = min(max_tokens, self.n_positions - len(ids))
        tokens: list[int] = []
        margins: list[float] = []
        new, cache = list(ids), None
        for _ in range(steps):
            with self._torch.no_grad():
                output = self._model(
                    self._torch.tensor([new]), use_cache=True, **{self._cache: cache}
                )
            cache = output[self._cache]
            last = np.asarray(output.logits[0, -1].numpy(), np.float64)
            second, first = np.sort(last)[-2:]
            tokens.append(int(last.argmax()))
            margins.append(float(first - second) / max(float(np.abs(last).max()), math.ulp(0.0)))
            new = tokens[-1:]
        return Greedy(tokens, np.asarray(margins, np.float32))


def pad(
    sequences: Sequence[Sequence[int]], side: str, pad_id: int = 0
) -> tuple[IntArray, IntArray]:
    """Ids and attention mask, both [B, L], padded on the `left` or `right` side."""
    length = max(map(len, sequences))
    ids = np.full((len(sequences), length), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        span = slice(0, len(sequence)) if side == "right" else slice(length - len(sequence), None)
        ids[row, span] = sequence
        mask[row, span] = 1
    return ids, mask


def versions() -> dict[str, str]:
    """Versions of everything that can move an oracle's answer."""
    import platform

    import torch
    import transformers

    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
