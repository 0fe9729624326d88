"""One row of results: llama-bench's keys, and ours. None: not measured; `reasons` say why.

Times end in their unit. Keys that llama-bench has mean what they mean there: avg_ns, stddev_ns and
samples_ns are of whole runs, avg_ts and stddev_ts of tokens a second over n_prompt + n_gen tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lapwing.bench.measure.stats import Summary
from lapwing.bench.rounds import Measured

SCHEMA_VERSION = 1
MOST_SAMPLES = 1000  # that are kept of a row; statistics are of all
NO_TEXT = "an encoder yields vectors, no text"


@dataclass
class Record:
    """See above. `seconds`, `ttft_ms`, `itl_ms`, `tpot_ms` are summaries as Summary has them.

    turns_s: of each turn, in the order of rounds, the median TPOT of its texts, or the time of its
    runs where there is none. load_ms: cold and warm. energy: as EnergyUse tells it; temp_c: start,
    max, end. quality: kl_nats, top1, perplexity, cosine, with their errors. stable: False where the
    machine drifted (`reasons` say how).
    """

    run_id: str
    mode: str
    command: str
    test_time: str
    model_filename: str
    model_type: str
    runtime: str = "lapwing"
    build_commit: str | None = None
    build_version: str | None = None
    cpu_info: str | None = None
    backends: str | None = None
    isa: str | None = None
    dtype: str | None = None
    requested_dtype: str | None = None
    stored_dtype: str | None = None
    model_size: int | None = None
    model_n_params: int | None = None
    model_sha256: str | None = None
    bits_per_weight: float | None = None
    bytes_per_token: int | None = None
    n_threads: int | None = None
    n_prefill_threads: int | None = None
    n_prompt: int = 0
    n_gen: int = 0
    n_depth: int = 0
    n_batch: int = 1
    input: str | None = None
    avg_ns: int | None = None
    stddev_ns: int | None = None
    avg_ts: float | None = None
    stddev_ts: float | None = None
    samples_ns: list[int] = field(default_factory=list)
    samples_ts: list[float] = field(default_factory=list)
    seconds: dict[str, Any] | None = None
    turns_s: list[float] = field(default_factory=list)
    ttft_ms: dict[str, Any] | None = None
    prefill_ms: dict[str, Any] | None = None
    itl_ms: dict[str, Any] | None = None
    tpot_ms: dict[str, Any] | None = None
    e2e_ms: float | None = None
    prefill_tps: float | None = None
    decode_tps: float | None = None
    texts_per_s: float | None = None
    load_ms: dict[str, float | None] = field(default_factory=dict)
    peak_rss: int | None = None
    avg_rss: int | None = None
    peak_pss: int | None = None
    peak_anon: int | None = None
    peak_file: int | None = None
    peak_swap: int | None = None
    grown_bytes: int | None = None
    kv_bytes: int | None = None
    energy: dict[str, Any] | None = None
    j_per_token: float | None = None
    temp_c: dict[str, Any] | None = None
    sustained: dict[str, Any] | None = None
    quality: dict[str, Any] | None = None
    warm_up_runs: int = 0
    discarded_runs: int = 0
    stable: bool | None = None
    interrupted: bool = False
    power_source: str | None = None
    profile: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Record:
        """From `to_dict`. Raises ValueError for another version, or what is no record."""
        version = told.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema_version {version!r}, expected {SCHEMA_VERSION}")
        known = {f.name for f in dataclasses.fields(cls)}
        try:
            return cls(**{key: value for key, value in told.items() if key in known})
        except TypeError as error:
            raise ValueError(str(error).removeprefix("Record.__init__() ")) from None

    @property
    def headline(self) -> tuple[str, float] | None:
        """What a row is judged by: (its name, seconds a token or a run); None: nothing measured."""
        if self.tpot_ms is not None:
            return "seconds per decoded token", self.tpot_ms["median"] / 1e3
        if self.seconds is not None:
            return "seconds per run", self.seconds["median"]
        return None


def fill_times(record: Record, measured: Measured) -> None:
    """From the runs of one competitor, in place."""
    runs = measured.runs
    record.warm_up_runs, record.discarded_runs = len(measured.warm_up_s), measured.discarded
    if not runs:
        record.reasons.setdefault("seconds", "no run was finished")
        return
    seconds = [run["seconds"] for run in runs]
    summary = Summary.of(seconds)
    record.seconds = dataclasses.asdict(summary)
    record.turns_s = [_headline_s(turn) for turn in measured.turns if turn]
    tokens = record.n_batch * (record.n_prompt + record.n_gen)
    rates = [tokens / s for s in seconds]
    record.samples_ns = [round(1e9 * s) for s in thinned(seconds)]
    record.samples_ts = [round(rate, 3) for rate in thinned(rates)]
    record.avg_ns = round(1e9 * summary.mean)
    record.stddev_ns = None if summary.std is None else round(1e9 * summary.std)
    rate = Summary.of(rates)
    record.avg_ts, record.stddev_ts = rate.mean, rate.std
    record.prefill_ms = summary_ms(runs, "prefill_s")
    record.ttft_ms = summary_ms(runs, "ttft_s")
    record.tpot_ms = summary_ms(runs, "tpot_s")
    gaps = [gap for run in runs for gap in run.get("itl_s", ())]
    record.itl_ms = dataclasses.asdict(Summary.of([1e3 * gap for gap in gaps])) if gaps else None
    if record.prefill_ms is not None:
        record.prefill_tps = 1e3 * record.n_batch * record.n_prompt / record.prefill_ms["median"]
    if record.tpot_ms is not None:
        record.decode_tps = 1e3 * record.n_batch / record.tpot_ms["median"]
        if record.ttft_ms is not None:
            after_first = (record.n_gen - 1) * record.tpot_ms["median"]
            record.e2e_ms = record.ttft_ms["median"] + after_first


def _headline_s(turn: Sequence[Mapping[str, Any]]) -> float:
    """Median of what a row is judged by: TPOT of a text, else a whole run."""
    return Summary.of([run.get("tpot_s") or run["seconds"] for run in turn]).median


def summary_ms(runs: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any] | None:
    """Of those runs that tell it, in milliseconds."""
    values = [1e3 * run[key] for run in runs if run.get(key) is not None]
    return dataclasses.asdict(Summary.of(values)) if values else None


def thinned(values: Sequence[float]) -> list[float]:
    """Evenly over all, where they are too many to keep."""
    step = -(-len(values) // MOST_SAMPLES)
    return list(values[::step]) if step > 1 else list(values)
