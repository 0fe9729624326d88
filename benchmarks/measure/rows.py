"""Results as JSON lines: a context, then what was skipped and why, then rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


@dataclass
class Row:
    """One competitor on one workload. None: not measured, or this runtime does not tell.

    ratio: this competitor's seconds over Lapwing's at `precision`, in the same rounds; above 1
    Lapwing is faster. floor_s: the least time the machine could take; floor_share: of the median,
    what the floor is. resident, pss and private are those of the worker after the run.
    """

    suite: str
    model: str
    workload: str
    runtime: str
    version: str | None
    quantization: str
    setting: str
    precision: str
    threads: int
    unit: str
    units: int
    seconds: list[float]
    median_s: float
    p5_s: float
    p95_s: float
    rate: float  # units a second, of the median
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    bits_per_weight: float | None = None
    bytes_per_token: float | None = None
    resident_bytes: int | None = None
    pss_bytes: int | None = None
    private_bytes: int | None = None
    floor_s: float | None = None
    floor_share: float | None = None
    floor: str | None = None  # what it is made of, or why there is none
    kl_nats: float | None = None
    cosine: float | None = None
    spearman: float | None = None
    quality: str | None = None  # what was compared, or why nothing was
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What rows must share to be compared."""
        return self.suite, self.model, self.workload


@dataclass
class Skip:
    """What was not measured, and the reason."""

    runtime: str
    reason: str
    model: str | None = None
    workload: str | None = None
    quantization: str | None = None


@dataclass
class Results:
    """One file."""

    context: dict[str, Any]
    skips: list[Skip] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def joined(earlier: Results, results: Results) -> Results:
    """What an earlier run has of other models and workloads, then this one's; both runs named."""
    measured = {row.key for row in results.rows}
    models = {model for _, model, _ in measured}
    runs = [*earlier.context.get("earlier_runs", ()), earlier.context.get("run")]
    return Results(
        {**results.context, "earlier_runs": runs},
        [skip for skip in earlier.skips if skip.model not in models] + results.skips,
        [row for row in earlier.rows if row.key not in measured] + results.rows,
    )


def lines(results: Results) -> Iterable[str]:
    """One JSON object a line."""
    context = {"schema_version": SCHEMA_VERSION, **results.context}
    yield json.dumps({"context": context}, ensure_ascii=False)
    for skip in results.skips:
        yield json.dumps({"skip": dataclasses.asdict(skip)}, ensure_ascii=False)
    for row in results.rows:
        yield json.dumps({"row": dataclasses.asdict(row)}, ensure_ascii=False)


def write(path: Path, results: Results) -> None:
    """The whole file, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(path.suffix + ".part")
    part.write_text("".join(line + "\n" for line in lines(results)), encoding="utf-8")
    part.replace(path)


def read(path: Path) -> Results:
    """A file of `write`. Raises ValueError for one of another version."""
    results = Results({})
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for kind, value in json.loads(line).items():
            if kind == "context":
                version = value.pop("schema_version")
                if version != SCHEMA_VERSION:
                    raise ValueError(
                        f"{path}:{number}: schema_version {version}, expected {SCHEMA_VERSION}; "
                        "run the suite again"
                    )
                results.context = value
            elif kind == "skip":
                results.skips.append(Skip(**value))
            else:
                results.rows.append(Row(**value))
    return results
