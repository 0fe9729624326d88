"""Rows as columns of text, the same for every table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lapwing.bench.measure.stats import Ratio, bootstrap_ratio, bootstrap_ratio_apart
from lapwing.bench.record import NO_TEXT, Record
from lapwing.units import format_bytes

MOST_COMMANDS = 4
HEAVY = ("memory", "quality")  # modes whose tables tell the bytes of weights
OF_THE_CONTEXT = ("power_source", "profile")  # recorded; no reader waits for them
Cell = Callable[[Record, Record], str | None]  # a row, and the first of its work


@dataclass(frozen=True)
class Table:
    """Columns that no row has anything in are left out; `–` stands for nothing in the others."""

    headers: list[str]
    rows: list[list[str]]


def table(records: Sequence[Record]) -> Table:
    """Of rows of one mode."""
    if not records:
        return Table([], [])
    cells = [[cell(r, first_like(r, records)) for _, cell in COLUMNS] for r in records]
    used = [i for i in range(len(COLUMNS)) if any(row[i] is not None for row in cells)]
    return Table([COLUMNS[i][0] for i in used], [[row[i] or "–" for i in used] for row in cells])


def first_like(record: Record, records: Sequence[Record]) -> Record:
    """The first row of the same work: what this one is compared with."""
    return next(r for r in records if _work(r) == _work(record))


def _work(record: Record) -> tuple[object, ...]:
    return (record.n_prompt, record.n_gen, record.n_depth, record.n_batch,
            record.extra.get("workload"))  # fmt: skip


def speed_ratio(record: Record, first: Record) -> Ratio | None:
    """How many times faster than that row; turns of the same round belong together."""
    if record is first or not record.turns_s or not first.turns_s:
        return None
    together = record.extra.get("group") == first.extra.get("group")
    return (bootstrap_ratio if together else bootstrap_ratio_apart)(first.turns_s, record.turns_s)


def memory_reduction(record: Record, first: Record) -> float | None:
    """0.75: a quarter of what the first row's process grew by."""
    if record is first or not record.grown_bytes or not first.grown_bytes:
        return None
    return 1 - record.grown_bytes / first.grown_bytes


def quality_of(record: Record) -> str | None:
    """`KL 0.0293, top-1 94.1 %`, or the cosine of an encoder."""
    told = record.quality
    if told is None:
        return None
    parts = []
    if told.get("kl_nats"):
        parts.append(f"KL {told['kl_nats']['value']:.2g}")
    if told.get("top1_agreement"):
        parts.append(f"top-1 {told['top1_agreement']['value']:.1%}")
    if told.get("cosine_mean"):
        parts.append(f"cosine {told['cosine_mean']['value']:.4f}")
    if not parts and told.get("reference"):
        return "the reference"
    return ", ".join(parts) or None


def _number(value: float | None, digits: int = 1) -> str | None:
    return None if value is None else f"{value:,.{digits}f}"


def _spread(summary: dict[str, Any] | None, scale: float = 1.0) -> str | None:
    """`12.3 (11.9–13.0)`: the median, and where nine tenths lie."""
    if summary is None:
        return None
    median, low, high = (scale * summary[key] for key in ("median", "p5", "p95"))
    digits = 1 if median >= 10 else 2 if median >= 1 else 3
    if summary["n"] < 2:
        return f"{median:.{digits}f}"
    return f"{median:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _threads(record: Record) -> str | None:
    few, many = record.n_threads, record.n_prefill_threads
    return None if few is None else str(few) if few == many or many is None else f"{few}/{many}"


def _tokens(record: Record) -> str:
    return f"{record.n_prompt}+{record.n_gen}" if record.n_gen else str(record.n_prompt)


def _bytes(value: int | None) -> str | None:
    return None if value is None else format_bytes(value)


def _ratio(record: Record, first: Record) -> str | None:
    ratio = speed_ratio(record, first)
    return None if ratio is None else f"{ratio.value:.2f}× ({ratio.low:.2f}–{ratio.high:.2f})"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"


def _joules(record: Record) -> str | None:
    return None if record.j_per_token is None else f"{record.j_per_token:.3g}"


def _stable(record: Record) -> str | None:
    if record.interrupted:
        return "interrupted"
    return "unstable" if record.stable is False else None


def _degrees(record: Record) -> str | None:
    told = record.temp_c
    if told is None or told.get("max_c") is None:
        return None
    return f"{told['start_c']:.0f}→{told['max_c']:.0f}"


def _sustained(record: Record) -> str | None:
    ratio = (record.sustained or {}).get("ratio")
    return None if ratio is None else f"{ratio:.2f}"


COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("runtime", lambda r, f: None if r.runtime == "lapwing" and r.mode != "vs" else r.runtime),
    ("workload", lambda r, f: r.extra.get("workload")),
    ("dtype", lambda r, f: r.extra.get("quantization") or r.dtype),
    ("setting", lambda r, f: r.extra.get("setting")),
    ("threads", lambda r, f: _threads(r)),
    ("tokens", lambda r, f: _tokens(r)),
    ("depth", lambda r, f: str(r.n_depth) if r.n_depth else None),
    ("batch", lambda r, f: str(r.n_batch) if r.n_batch > 1 else None),
    ("TTFT ms", lambda r, f: None if r.ttft_ms is None else _number(r.ttft_ms["median"])),
    ("prefill t/s", lambda r, f: _number(r.prefill_tps)),
    ("decode t/s", lambda r, f: _number(r.decode_tps)),
    ("TPOT ms", lambda r, f: _spread(r.tpot_ms)),
    ("run ms", lambda r, f: None if r.tpot_ms else _spread(r.seconds, 1e3)),
    ("texts/s", lambda r, f: _number(r.texts_per_s)),
    ("load warm ms", lambda r, f: _number(r.load_ms.get("warm")) if r.mode == "load" else None),
    ("load cold ms", lambda r, f: _number(r.load_ms.get("cold"))),
    ("bits/weight", lambda r, f: _number(r.bits_per_weight, 2)),
    ("weights", lambda r, f: _bytes(r.model_size) if r.mode in HEAVY else None),
    ("grew by", lambda r, f: _bytes(r.grown_bytes)),
    ("peak RSS", lambda r, f: _bytes(r.peak_rss) if r.mode == "memory" else None),
    ("peak PSS", lambda r, f: _bytes(r.peak_pss) if r.mode == "memory" else None),
    ("peak own", lambda r, f: _bytes(r.peak_anon) if r.mode == "memory" else None),
    ("KV cache", lambda r, f: _bytes(r.kv_bytes) if r.mode == "memory" else None),
    ("J/token", lambda r, f: _joules(r)),
    ("°C", lambda r, f: _degrees(r)),
    ("last/first min", lambda r, f: _sustained(r)),
    ("speed", _ratio),
    ("memory saved", lambda r, f: _percent(memory_reduction(r, f))),
    ("quality", lambda r, f: quality_of(r)),
    ("", lambda r, f: _stable(r)),
)


def notes(records: Sequence[Record]) -> list[str]:
    """Reasons for what is null, told once each: `energy, j_per_token: …`."""
    names: dict[str, list[str]] = {}
    for record in records:
        for name, reason in record.reasons.items():
            if reason.startswith("mode ") or reason == NO_TEXT or name in OF_THE_CONTEXT:
                continue
            if name not in names.setdefault(reason, []):
                names[reason].append(name)
    return [f"{', '.join(found)}: {reason}" for reason, found in names.items()]


def commands(records: Sequence[Record]) -> list[str]:
    """That reproduce the rows; of many rows the first few, and how to get the others."""
    found = list(dict.fromkeys(record.command for record in records))
    if len(found) <= MOST_COMMANDS:
        return found
    return [*found[: MOST_COMMANDS - 1], f"… and {len(found) - MOST_COMMANDS + 1} more: -o json"]
