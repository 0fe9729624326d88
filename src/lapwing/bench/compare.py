"""Two runs side by side: how much slower or faster, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lapwing.bench.measure.stats import Ratio, bootstrap_ratio_apart
from lapwing.bench.record import Record
from lapwing.bench.situation import differences
from lapwing.errors import RequestError

FEW_TURNS = 5
Verdict = Literal["slower", "faster", "same", "unclear"]
# Rows of two runs that are of the same thing; all else may differ and is told.
KEY = ("runtime", "mode", "requested_dtype", "n_prompt", "n_gen", "n_depth", "n_batch")


@dataclass(frozen=True)
class Comparison:
    """One row of either run. ratio: seconds of B over those of A; above 1 B is slower.

    different: what keeps them from being compared; they were all the same if that was forced.
    """

    label: str
    a: Record
    b: Record
    ratio: Ratio
    verdict: Verdict
    different: tuple[str, ...]
    unstable: bool


def compare(
    a: Sequence[Record], b: Sequence[Record], fail_on: float = 0.05, *, force: bool = False
) -> list[Comparison]:
    """Pairs of the same thing, in the order of A.

    slower: the median is by more than `fail_on` (0.05 is 5 %), and the 95 % interval of the ratio
    is above 1. same: the whole interval is within fail_on. Raises RequestError where nothing is of
    the same thing, or contexts differ and it is not forced.
    """
    others = {_key(row): row for row in b if row.seconds is not None}
    pairs = [(row, others[_key(row)]) for row in a if row.seconds and _key(row) in others]
    if not pairs:
        raise RequestError(
            "the two have no row of the same thing: " + ", ".join(KEY) + " have to be equal"
        )
    found = [_compare(row, other, fail_on) for row, other in pairs]
    different = list(dict.fromkeys(d for one in found for d in one.different))
    if different and not force:
        told = "; ".join(different[:6]) + ("; …" if len(different) > 6 else "")
        raise RequestError(
            f"the two were not measured alike: {told}. --force compares them all the same."
        )
    return found


def samples(a: Record, b: Record) -> tuple[list[float], list[float]]:
    """What rows are compared by: medians of their turns, or their runs where turns are few."""
    if min(len(a.turns_s), len(b.turns_s)) >= FEW_TURNS:
        return a.turns_s, b.turns_s
    return [ns / 1e9 for ns in a.samples_ns], [ns / 1e9 for ns in b.samples_ns]


def judge(ratio: Ratio, fail_on: float) -> Verdict:
    """See `compare`."""
    if ratio.value > 1 + fail_on and ratio.low > 1:
        return "slower"
    if ratio.value < 1 / (1 + fail_on) and ratio.high < 1:
        return "faster"
    if ratio.low >= 1 / (1 + fail_on) and ratio.high <= 1 + fail_on:
        return "same"
    return "unclear"


def _key(record: Record) -> tuple[object, ...]:
    values = tuple(getattr(record, name) for name in KEY)
    return (*values, record.extra.get("workload"), record.extra.get("setting"), record.n_threads)


def _compare(a: Record, b: Record, fail_on: float) -> Comparison:
    first, second = samples(a, b)
    ratio = bootstrap_ratio_apart(second, first)
    parts = [str(a.dtype), f"{a.n_prompt}+{a.n_gen}"]
    parts += [f"depth {a.n_depth}"] if a.n_depth else []
    parts += [f"batch {a.n_batch}"] if a.n_batch > 1 else []
    parts += [] if a.runtime == "lapwing" else [a.runtime]
    return Comparison(
        label=", ".join(parts),
        a=a,
        b=b,
        ratio=ratio,
        verdict=judge(ratio, fail_on),
        different=tuple(differences(a.to_dict(), b.to_dict())),
        unstable=a.stable is False or b.stable is False,
    )
