"""Whole sequences → passes: packed without padding, long beside long, no pass too large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lapwing.backends.base import Backend, Floats, Ids
from lapwing.engine.recorded import RecordedPasses
from lapwing.errors import RequestError
from lapwing.layers.step import EncoderPass, packed
from lapwing.models.base import Encoder, EncoderConfig
from lapwing.power.pacing.pacer import Pacer

# Activations of one pass. Threads take whole sequences through it in parts of a few hundred tokens,
# so that few of them live at once; where sequences make no even parts, those of a layer do.
PASS_BYTES = 32 << 20
RECORDED_TOKENS = 256  # at most, where there is a choice: while recorded, all arrays live at once
PACED_PART = 8  # while pauses are taken a pass is so many times smaller: they stay short
MIN_PASS_TOKENS = 64  # below this, unpacking weights is not shared by enough tokens


@dataclass(frozen=True)
class Sequences:
    """Ids and token types of each sequence; a pass takes at most so many tokens and sequences.

    One sequence alone may be longer than that.
    """

    ids: Sequence[Sequence[int]]
    type_ids: Sequence[Sequence[int]]
    max_tokens: int
    max_sequences: int | None = None


def bytes_of_a_token(config: EncoderConfig) -> int:
    """Of its activations: h, q, k, v, attention's result and the inner layer, float32."""
    return 4 * (6 * config.hidden_size + config.intermediate_size)


def tokens_of_a_pass(config: EncoderConfig) -> int:
    """As many as fit PASS_BYTES; long jobs find out better (pass_size.py)."""
    return max(MIN_PASS_TOKENS, PASS_BYTES // bytes_of_a_token(config))


def batch_limit(batch_size: int | str) -> int | None:
    """Sequences of a pass: a number, or None for `auto`. Raises RequestError."""
    if batch_size == "auto":
        return None
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise RequestError(f"batch_size: expected auto or a number ≥ 1, got {batch_size!r}")
    return batch_size


class EncoderPasses:
    """Of one loaded encoder."""

    def __init__(self, network: Encoder, backend: Backend, pacer: Pacer | None = None) -> None:
        self._network, self._recorded = network, RecordedPasses(backend)
        self.pacer = Pacer() if pacer is None else pacer

    def forget(self) -> None:
        """Before weights are given up: no pass that was recorded holds on to them."""
        self._recorded.forget()

    def run(
        self, sequences: Sequences, precision: str
    ) -> Iterator[tuple[list[int], Floats, EncoderPass]]:
        """(indices of sequences, their h [T, D] end to end, the pass); empty ones are left out."""
        if self.pacer.command.duty < 1.0:
            smaller = max(MIN_PASS_TOKENS, sequences.max_tokens // PACED_PART)
            sequences = replace(sequences, max_tokens=min(smaller, sequences.max_tokens))
        lengths = [len(ids) for ids in sequences.ids]
        passes = plan_passes(lengths, sequences)
        if passes and not self._recorded.holds(precision):
            passes = _small_one_first(passes, lengths)
        for group in passes:
            step = EncoderPass(
                ids=packed([sequences.ids[i] for i in group]),
                positions=_positions(self._network.config, [sequences.ids[i] for i in group]),
                lengths=[len(sequences.ids[i]) for i in group],
                precision=precision,
                token_types=packed([sequences.type_ids[i] for i in group]),
            )
            with self.pacer.piece():
                h = self._hidden(step)
            self.pacer.made(len(group), step.precision)
            yield group, h, step

    def _hidden(self, step: EncoderPass) -> Floats:
        numbers = (step.ids, step.positions, step.token_types)
        h = self._recorded.again(step.precision, numbers, step.lengths)
        if h is not None:
            return h
        return self._recorded.record(
            step.precision, numbers, step.lengths, lambda: self._network(step)
        )


def plan_passes(lengths: Sequence[int], limits: Sequences) -> list[list[int]]:
    """Indices of sequences, longest first, cut into passes."""
    order = sorted((i for i, length in enumerate(lengths) if length), key=lambda i: -lengths[i])
    most = limits.max_sequences or len(order)
    passes: list[list[int]] = []
    tokens = 0
    for i in order:
        full = not passes or len(passes[-1]) >= most
        if full or (limits.max_sequences is None and tokens + lengths[i] > limits.max_tokens):
            passes.append([])
            tokens = 0
        passes[-1].append(i)
        tokens += lengths[i]
    return passes


def _small_one_first(passes: list[list[int]], lengths: Sequence[int]) -> list[list[int]]:
    """The shortest sequence alone, before the others, where the first pass is a large one."""
    if len(passes[0]) == 1 or sum(lengths[i] for i in passes[0]) <= RECORDED_TOKENS:
        return passes
    *others, last = passes
    return [last[-1:], *others, *([last[:-1]] if len(last) > 1 else [])]


def _positions(config: EncoderConfig, sequences: Sequence[Sequence[int]]) -> Ids:
    """0, 1, …; where padding moves positions, pad_token_id's own and behind it the others'.

    As transformers' RobertaEmbeddings.create_position_ids_from_input_ids.
    """
    first, pad = config.first_position, config.pad_token_id
    rows = []
    for ids in sequences:
        if pad is None or pad not in ids:
            rows.append(np.arange(first, first + len(ids), dtype=np.int64))
        else:
            real = np.asarray(ids, np.int64) != pad
            rows.append(np.cumsum(real) * real + pad)
    return np.concatenate(rows)
