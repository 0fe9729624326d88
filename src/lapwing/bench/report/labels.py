"""What a row is called in a picture, and what it is fast at."""

from __future__ import annotations

from lapwing.bench.record import Record


def label_of(record: Record) -> str:
    """`int8, 2 threads, 128+64, depth 512`."""
    parts = [record.extra.get("quantization") or str(record.dtype)]
    parts = [record.runtime, *parts] if record.runtime != "lapwing" else parts
    parts += [f"{record.n_threads} threads"] if record.mode == "sweep" else []
    parts += [f"{record.n_prompt}+{record.n_gen}"] if record.n_gen else [f"{record.n_prompt}"]
    parts += [f"depth {record.n_depth}"] if record.n_depth else []
    parts += [f"batch {record.n_batch}"] if record.n_batch > 1 else []
    return ", ".join(parts)


def rate_of(record: Record) -> tuple[float, str] | None:
    """What a row is fast at, and its unit."""
    for value, unit in (
        (record.decode_tps, "tokens/s decoding"),
        (record.texts_per_s, "texts/s"),
        (record.prefill_tps, "tokens/s prefill"),
    ):
        if value is not None:
            return value, unit
    return None
