"""Rows as a run would have written them, from samples that are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lapwing.bench.record import Record, fill_times
from lapwing.bench.rounds import Measured

CONTEXT = {"cpu": "Test CPU", "cpus_usable": 2, "governor": "powersave", "power_source": "mains"}


def record(seconds: Sequence[float], run_id: str = "aaaa0000", **changes: Any) -> Record:
    """A row of an encoder, which yields times of whole runs; one run a turn."""
    row = Record(
        run_id=run_id,
        mode="latency",
        command="lapwing bench model --dtype int8",
        test_time="2026-03-04T05:06:07Z",
        model_filename="model",
        model_type="bert",
        cpu_info="Test CPU",
        isa="avx2",
        dtype="int8",
        requested_dtype="int8",
        model_n_params=1000,
        n_threads=2,
        n_prompt=16,
        context=dict(CONTEXT),
        stable=True,
        extra={"kind": "encoder"},
    )
    fill_times(row, Measured(turns=[[{"seconds": s}] for s in seconds]))
    for name, value in changes.items():
        setattr(row, name, value)
    return row
