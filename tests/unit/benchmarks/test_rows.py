"""What is written comes back."""

import json
from pathlib import Path

import pytest
from unit.benchmarks.results import row

from benchmarks.measure import rows
from benchmarks.measure.rows import Results, Skip


def results() -> Results:
    return Results(
        {"cpu": "Ein Prozessor – ü", "power": {"on_ac": None, "reason": "no supply"}},
        [Skip("torch", "not installed: no module 'torch'", model="tales")],
        [row("lapwing", "int4", 0.5, extra={"load_s": 1.0}), row("llama.cpp", "Q4_0", 1.0)],
    )


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "decode.jsonl"
    rows.write(path, results())
    assert rows.read(path) == results()
    assert [path.name for path in path.parent.iterdir()] == ["decode.jsonl"]


def test_lines_are_json_objects_of_one_kind_each(tmp_path: Path) -> None:
    kinds = [next(iter(json.loads(line))) for line in rows.lines(results())]
    assert kinds == ["context", "skip", "row", "row"]


def test_another_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text('{"context": {"schema_version": 0}}\n')
    with pytest.raises(ValueError, match=r"old\.jsonl:1: schema_version 0, expected 1; run"):
        rows.read(path)
