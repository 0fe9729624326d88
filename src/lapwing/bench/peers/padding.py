"""Sequences side by side, for runtimes that take rectangles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lapwing.bench.peers.base import Ids, Unavailable

MOST_PROMPT = 4096  # of one pass


def one_pass(prompts: Sequence[Ids]) -> None:
    """Raises Unavailable for prompts that do not fit one pass side by side."""
    if len(set(map(len, prompts))) > 1:
        raise Unavailable("sequences of one length only")
    if len(prompts[0]) > MOST_PROMPT:
        raise Unavailable(f"scores of {len(prompts[0])} tokens in one pass take too much memory")


def padded(
    sequences: Sequence[Ids], most: int
) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
    """Indices and inputs of each pass, longest texts first."""
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
    for begin in range(0, len(order), most):
        group = order[begin : begin + most]
        shape = (len(group), len(sequences[group[0]]))
        ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int32)
        for row, i in enumerate(group):
            ids[row, : len(sequences[i])] = sequences[i]
            mask[row, : len(sequences[i])] = 1
        positions = np.ascontiguousarray(np.broadcast_to(np.arange(shape[1]), shape))
        yield group, {"ids": ids, "positions": positions, "mask": mask}
