"""Rows: the definitions of what they tell, and llama-bench's keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bench_records import record

from lapwing.bench.record import MOST_SAMPLES, Record, fill_times, thinned
from lapwing.bench.rounds import Measured

# Of `llama-bench -o jsonl`: what other tools read.
LLAMA_BENCH = {
    "build_commit", "cpu_info", "backends", "model_filename", "model_type", "model_size",
    "model_n_params", "n_batch", "n_threads", "n_prompt", "n_gen", "n_depth", "test_time",
    "avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ns", "samples_ts",
}  # fmt: skip


def run(prefill_s: float, gaps_s: list[float]) -> dict[str, Any]:
    """A prompt, the first token right behind it, and gaps."""
    return {
        "seconds": prefill_s + sum(gaps_s),
        "prefill_s": prefill_s,
        "ttft_s": prefill_s + 0.001,
        "tpot_s": sum(gaps_s) / len(gaps_s),
        "itl_s": gaps_s,
    }


def causal(runs: list[dict[str, Any]], n_prompt: int, n_gen: int) -> Record:
    row = record([1.0], n_prompt=n_prompt, n_gen=n_gen)
    fill_times(row, Measured(turns=[[one] for one in runs], warm_up_s=[1.0] * 4, discarded=2))
    return row


def test_definitions() -> None:
    """By hand: a prompt of 100 tokens in 0.2 s; 4 tokens, so 3 gaps, of 10, 20 and 30 ms."""
    row = causal([run(0.2, [0.01, 0.02, 0.03])] * 3, 100, 4)
    assert row.prefill_tps == pytest.approx(100 / 0.2)
    assert row.tpot_ms is not None
    assert row.tpot_ms["median"] == pytest.approx(20)
    assert row.decode_tps == pytest.approx(50)
    assert row.ttft_ms is not None
    assert row.ttft_ms["median"] == pytest.approx(201)
    assert row.e2e_ms == pytest.approx(201 + 3 * 20)
    assert row.itl_ms is not None
    assert row.itl_ms["n"] == 9
    assert row.itl_ms["median"] == pytest.approx(20)
    assert row.itl_ms["p99"] is None  # of fewer than 100
    assert row.turns_s == pytest.approx([0.02] * 3)
    assert row.headline == ("seconds per decoded token", pytest.approx(0.02))
    assert (row.warm_up_runs, row.discarded_runs) == (4, 2)


def test_a_batch_decodes_as_many_tokens_at_once() -> None:
    row = record([1.0], n_prompt=10, n_gen=2, n_batch=4)
    fill_times(row, Measured(turns=[[run(0.1, [0.02])]]))
    assert row.decode_tps == pytest.approx(4 / 0.02)
    assert row.prefill_tps == pytest.approx(4 * 10 / 0.1)


def test_llama_benchs_keys_mean_what_they_mean_there() -> None:
    row = causal([run(0.1, [0.1] * 3), run(0.2, [0.1] * 3)], 10, 4)
    told = json.loads(json.dumps(row.to_dict(), allow_nan=False))
    assert set(told) >= LLAMA_BENCH
    assert told["samples_ns"] == [400_000_000, 500_000_000]
    assert told["avg_ns"] == 450_000_000
    assert told["samples_ts"] == pytest.approx([14 / 0.4, 14 / 0.5])
    assert told["avg_ts"] == pytest.approx((14 / 0.4 + 14 / 0.5) / 2)
    assert told["stddev_ns"] == pytest.approx(1e8 / 2**0.5, rel=1e-6)
    assert Record.of(told) == row


def test_nothing_measured_is_null_with_a_reason() -> None:
    row = record([1.0])
    fresh = Record(**{**row.to_dict(), "seconds": None, "samples_ns": []})
    fill_times(fresh, Measured())
    assert fresh.seconds is None
    assert fresh.reasons["seconds"] == "no run was finished"
    assert fresh.headline is None


def test_many_samples_are_thinned_evenly() -> None:
    values = [float(n) for n in range(10 * MOST_SAMPLES + 1)]
    kept = thinned(values)
    assert len(kept) <= MOST_SAMPLES
    assert kept[0] == 0.0
    assert kept[-1] > 0.99 * values[-1]
    assert thinned(values[:5]) == values[:5]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({}, "schema_version None, expected 1"),
        ({"schema_version": 2}, "schema_version 2, expected 1"),
        ({"schema_version": 1}, "missing"),
    ],
)
def test_what_is_no_row_is_refused(told: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Record.of(told)
