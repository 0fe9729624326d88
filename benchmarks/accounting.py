"""What a workload has to read and to multiply, and the least time the machine needs for it."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.measure.floors import INSTRUCTION, INSTRUCTIONS, MAPPINGS
from benchmarks.models import Model
from lapwing.bench.peers.base import Facts, Precision, Workload

BY_BYTES = ("decode", "generate")  # bound by what they read; the others by multiply-adds


def bytes_read(model: Model, work: Workload, facts: Facts) -> float | None:
    """Weights once a pass, and each sequence's cache; None where the runtime does not tell."""
    if facts.bytes_per_token is None or work.kind not in BY_BYTES:
        return None
    passes = len(work.steps) or work.n_tokens
    depth = sum(len(prompt) + passes / 2 for prompt in work.prompts)
    return passes * (facts.bytes_per_token + depth * model.kv_numbers * facts.kv_bytes_each)


def multiply_adds(model: Model, work: Workload) -> float:
    """Of linears, of the head for one token a sequence, and of attention."""
    total = 0.0
    for prompt in work.prompts:
        L = len(prompt)
        pairs = L * L if model.family == "bert" else L * (L + 1) / 2
        total += L * model.macs_per_token + model.head_macs + pairs * model.attention_macs
    return total


def bounds(work: Workload) -> tuple[str, ...]:
    """Floors that are measured beside it."""
    return MAPPINGS if work.kind in BY_BYTES else INSTRUCTIONS


def floor_of(
    model: Model,
    work: Workload,
    precision: Precision,
    facts: Facts,
    speeds: Mapping[str, float],
) -> tuple[float | None, str]:
    """(seconds, of what they are made); or (None, why that is not known).

    speeds: bytes a second by kind of mapping, multiply-adds a second by instruction.
    """
    if work.kind in BY_BYTES:
        nbytes = bytes_read(model, work, facts)
        if nbytes is None:
            return None, "this runtime does not tell what it reads"
        if facts.mapping not in speeds:
            return None, f"reading {facts.mapping} memory was not measured"
        speed = speeds[facts.mapping]
        told = f"{nbytes / 1e6:.1f} MB from {facts.mapping} memory at {speed / 1e9:.1f} GB/s"
        return nbytes / speed, told
    instruction = INSTRUCTION[precision]
    if instruction not in speeds:
        return None, f"the native core does not measure the peak of {instruction}"
    macs, speed = multiply_adds(model, work), speeds[instruction]
    told = f"{macs / 1e9:.2f} G multiply-adds by {instruction} at {speed / 1e9:.0f} G/s"
    return macs / speed, told
