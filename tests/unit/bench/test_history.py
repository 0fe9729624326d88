"""The file of what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_records import record

from lapwing.bench import history
from lapwing.errors import FileError, RequestError


def test_what_is_added_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bench.jsonl"
    rows = [record([0.1] * 3), record([0.2] * 3, run_id="bbbb0000")]
    history.append(rows[:1], path)
    history.append(rows[1:], path)
    assert history.read(path) == (rows, [])


def test_lines_that_are_none_are_told_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    history.append([record([0.1])], path)
    whole = path.read_text()
    other = json.dumps({**json.loads(whole), "schema_version": 99})
    path.write_text(whole + "\n[]\n" + other + "\n" + whole[:50])
    rows, problems = history.read(path)
    assert len(rows) == 1
    assert [p.rpartition(f"{path}:")[2].partition(":")[0] for p in problems] == ["5", "3", "4"]
    assert "schema_version 99, expected 1" in problems[2]


def test_a_list_of_rows_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([record([0.1]).to_dict()], indent=1))
    assert history.find(str(path))[0].samples_ns == [100_000_000]


@pytest.mark.parametrize(
    ("name", "run"), [("last", "c"), ("last~1", "b"), ("last~2", "a"), ("b", "b")]
)
def test_runs_by_name(tmp_path: Path, name: str, run: str) -> None:
    path = tmp_path / "bench.jsonl"
    for run_id in "abc":
        history.append([record([0.1], run_id=run_id), record([0.2], run_id=run_id)], path)
    assert [row.run_id for row in history.find(name, path)] == [run, run]


@pytest.mark.parametrize("name", ["last~9", "last~", "lost", "last~x", ""])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bench.jsonl"
    history.append([record([0.1])], path)
    with pytest.raises(RequestError, match=r"expected a file, last, last~N, or a run"):
        history.find(name, path)


def test_without_a_history(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no history yet"):
        history.find("last", tmp_path / "none.jsonl")
    with pytest.raises(FileError, match="cannot be read"):
        history.read(tmp_path)


@pytest.mark.parametrize(
    ("environment", "want"),
    [
        ({"LAPWING_BENCH_HISTORY": "/x/mine.jsonl", "XDG_DATA_HOME": "/d"}, "/x/mine.jsonl"),
        ({"XDG_DATA_HOME": "/d"}, "/d/lapwing/bench.jsonl"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/h"}, "/h/.local/share/lapwing/bench.jsonl"),
        ({"HOME": "/h"}, "/h/.local/share/lapwing/bench.jsonl"),
    ],
)
def test_where_it_is(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], want: str
) -> None:
    for name in ("LAPWING_BENCH_HISTORY", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert history.history_path() == Path(want)


def test_a_history_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="LAPWING_BENCH_HISTORY names another file"):
        history.append([record([0.1])], tmp_path / "file" / "bench.jsonl")
