"""`lapwing bench` and `lapwing profile-memory`, as typed; runs are as short as they can be."""

from __future__ import annotations

import csv
import io
import json
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from e2e.command import User
from tiny import SHAPES, write_gpt2
from tiny_sentences import write_sentence_model

from lapwing.weights.plan import Plan

QUICK = ("--quick", "-p", "4", "-n", "3")
SPEED = ("--no-memory", "--no-quality")
PICTURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    return str(write_sentence_model(tmp_path / "encoder", seed=1))


def bench(user: User, *args: str, code: int = 0) -> list[dict[str, Any]]:
    """Rows of a run, in JSON lines."""
    done = user.types("bench", *args, "-o", "jsonl")
    assert done.code == code, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_latency_of_every_precision(user: User) -> None:
    rows = bench(user, "tales", "--dtype", "f32,int8,int4", *QUICK)
    assert [row["dtype"] for row in rows] == ["f32", "int8", "int4"]
    for row in rows:
        assert row["schema_version"] == 1
        assert (row["n_prompt"], row["n_gen"], row["n_batch"]) == (4, 3, 1)
        assert row["input"] == "built-in text"
        assert row["ttft_ms"]["median"] > row["prefill_ms"]["median"] > 0
        assert row["itl_ms"]["n"] == row["seconds"]["n"] * 2
        assert row["decode_tps"] == pytest.approx(1e3 / row["tpot_ms"]["median"])
        assert row["load_ms"]["warm"] > 0
        assert row["load_ms"]["cold"] is None
        assert row["reasons"]["load_ms.cold"]
        assert row["context"]["cpus"] >= 1
        assert row["model_sha256"]
    bits = [row["bits_per_weight"] for row in rows]
    assert bits == sorted(bits, reverse=True)
    if Path("/proc/self/status").exists():
        assert all(row["peak_rss"] > row["grown_bytes"] > row["model_size"] / 2 for row in rows)


def test_what_is_null_says_why(user: User) -> None:
    """And a quick run leaves no trace."""
    (row,) = bench(user, "tales", *QUICK, "--no-memory", "--sysfs", str(user.home))
    assert not (user.home / "bench.jsonl").exists()
    for name in ("energy", "j_per_token", "temp_c", "sustained", "peak_rss", "power_source"):
        assert row[name] is None
        assert row["reasons"][name], name
    for name, reason in row["reasons"].items():
        value = row.get(name)
        assert value in (None, {}, []) or name == "stable", name
        assert reason


def test_the_command_of_a_row_gives_the_row_again(user: User) -> None:
    (row,) = bench(user, "tales", "--dtype", "int4", *QUICK, "-t", "1", *SPEED)
    words = shlex.split(row["command"])
    assert words[:3] == ["lapwing", "bench", "tales"]
    (again,) = bench(user, *words[2:], *SPEED)
    same = ("dtype", "n_prompt", "n_gen", "n_threads", "n_batch", "mode", "command", "rules")
    assert [again[key] for key in same] == [row[key] for key in same]


def test_an_encoder_has_vectors_and_no_tokens(user: User, encoder: str) -> None:
    rows = bench(user, encoder, "embed", "--quick", "-p", "4,6", "-b", "1-2")
    assert [(row["n_prompt"], row["n_batch"]) for row in rows] == [(4, 1), (4, 2), (6, 1), (6, 2)]
    for row in rows:
        assert row["texts_per_s"] == pytest.approx(row["n_batch"] / row["seconds"]["median"])
        assert row["decode_tps"] is row["ttft_ms"] is None
        assert row["reasons"]["decode_tps"] == "an encoder yields vectors, no text"
        assert "-n " not in row["command"]


def test_sweep_takes_ranges(user: User) -> None:
    rows = bench(user, "tales", "sweep", "--dtype", "int8,int4", "-t", "1-2", *QUICK, "--no-memory")
    assert [(row["dtype"], row["n_threads"]) for row in rows] == [
        ("int8", 1), ("int8", 2), ("int4", 1), ("int4", 2)
    ]  # fmt: skip
    assert all(row["reasons"]["quality"].startswith("mode sweep") for row in rows)


def test_frontier_is_speed_at_depth(user: User) -> None:
    rows = bench(user, "tales", "frontier", "--quick", "-p", "1", "-n", "3", "-d", "0,8,16", *SPEED)
    assert [row["n_depth"] for row in rows] == [0, 8, 16]
    assert all(row["decode_tps"] > 0 for row in rows)
    assert rows[1]["ttft_ms"] is None


def test_sustained_has_a_timeline(user: User) -> None:
    (row,) = bench(user, "tales", "sustained", "--minutes", "0.01", *QUICK)
    timeline = row["sustained"]["timeline"]
    assert len(timeline) >= 2
    assert [p["time_s"] for p in timeline] == sorted(p["time_s"] for p in timeline)
    assert row["sustained"]["ratio"] is None
    assert row["reasons"]["sustained.ratio"] == "it needs two minutes, a first and a last one"


def test_memory_by_phase(user: User) -> None:
    (row,) = bench(user, "tales", "memory", "--dtype", "int4", *QUICK)
    if row["peak_rss"] is None:
        pytest.skip(row["reasons"]["peak_rss"])
    phases = row["extra"]["memory_phases"]
    assert list(phases) == ["python", "libraries", "load", "prefill", "decode"]
    assert row["peak_rss"] >= row["avg_rss"] > phases["libraries"]["rss"]["last"]
    assert row["kv_bytes"] > 0
    assert row["seconds"] is None


def test_load_warm_and_cold(user: User) -> None:
    (row,) = bench(user, "tales", "load", "--dtype", "int8", *QUICK)
    assert row["load_ms"]["warm"] > 0
    starts = row["extra"]["starts"]
    assert set(starts["warm"]) == {"process_s", "libraries_s", "load_s", "first_s"}
    if row["load_ms"]["cold"] is None:
        assert row["reasons"]["load_ms.cold"]
    else:
        assert starts["cold"]["load_s"]["n"] == 2


def test_energy_without_a_sensor_is_null(user: User) -> None:
    (row,) = bench(user, "tales", "energy", *QUICK, "--sysfs", str(user.home))
    assert row["energy"] is row["j_per_token"] is None
    assert "RAPL" in row["reasons"]["energy"]


def test_quality_is_what_eval_finds(user: User) -> None:
    """Of plans, too: a row is named by what its passes read, the plan by its file."""
    words = "The old boats lie in the harbour, and a bird runs from its nest before it rises. " * 9
    (user.home / "mine.txt").write_text(words, encoding="utf-8")
    Plan(frozenset({"transformer.h.0.mlp.c_fc.weight"})).write(user.home / "plan.json")
    dtypes = ("--dtype", "f32,plan.json,int4", "--text", "mine.txt")
    rows = bench(user, "tales", "quality", *dtypes, *QUICK)
    assert [row["dtype"] for row in rows] == ["f32", "mixed", "int4"]
    found = user.types("eval", "tales", *dtypes, "--tokens", "64", "--json", "-q").json["rows"]
    for row, own in zip(rows, found, strict=True):
        assert "quality" not in row["reasons"]
        for name in ("perplexity", "kl_nats", "top1_agreement"):
            assert row["quality"][name] == own[name], name
    assert rows[0]["quality"]["reference"]
    assert 0 < rows[1]["quality"]["kl_nats"]["value"] < rows[2]["quality"]["kl_nats"]["value"]


def test_quality_of_an_encoder_is_its_cosine(user: User, encoder: str) -> None:
    rows = bench(user, encoder, "quality", "--dtype", "int8,int4", "--quick", "-p", "4")
    int8, int4 = (row["quality"]["cosine_mean"]["value"] for row in rows)
    assert 1 > int8 > int4 > 0.5


def test_quality_that_cannot_be_measured_says_why(user: User, tmp_path: Path) -> None:
    write_gpt2(tmp_path / "mute", seed=1, **SHAPES["base"])  # without a tokenizer
    (row,) = bench(user, "./mute", "quality", "--dtype", "int8", "--quick", "-p", "4", "-n", "2")
    assert row["quality"] is None
    assert "tokenizer" in row["reasons"]["quality"]


def test_beside_others_it_stands_itself(user: User) -> None:
    """Whoever is installed is measured, the others are named with the reason."""
    done = user.types("bench", "tales", "vs", "mistralrs", *QUICK, "-o", "jsonl")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert {row["runtime"] for row in rows} >= {"lapwing"}
    assert {row["extra"]["workload"] for row in rows} == {"prefill", "decode"}
    assert "skipped: mistralrs: not installed" in done.err or "mistralrs" in str(rows)


def test_formats(user: User, tmp_path: Path) -> None:
    args = ("bench", "tales", *QUICK, *SPEED)
    table = user.types(*args)
    assert table.code == 0, table.err
    assert "decode t/s" in table.out
    assert "lapwing bench tales --dtype auto -p 4 -n 3 --quick" in table.out
    markdown = user.types(*args, "-o", "md").out
    assert markdown.splitlines()[1].replace("-", "").strip("| ") == ""
    told = json.loads(user.types(*args, "-o", "json").out)
    assert isinstance(told, list)
    (line,) = csv.DictReader(io.StringIO(user.types(*args, "-o", "csv").out))
    assert float(line["tpot_ms.median"]) > 0
    page = tmp_path / "report.html"
    assert user.types(*args, "-o", "html", "--out", str(page)).out == ""
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def measured_twice(user: User) -> Path:
    """Two runs in the history → its file."""
    for _ in range(2):
        bench(user, "tales", "-p", "4", "-n", "3", "-r", "5", "--seconds", "0", "--cool", "0",
              *SPEED)  # fmt: skip
    return user.home / "bench.jsonl"


def test_history_and_comparison(user: User, tmp_path: Path) -> None:
    history = measured_twice(user)
    listed = user.types("bench", "history", "tales")
    assert listed.out.count("tales") == 2
    assert user.types("bench", "compare", "last", "last").code == 0
    rows = [json.loads(line) for line in history.read_text().splitlines()]
    # As a quiet machine would have taken them: planted turns, so that the verdict is no chance.
    turns_s = [0.001 * (1 + 0.002 * (n % 5)) for n in range(20)]
    fast = dict(rows[0], turns_s=turns_s)
    slow = dict(rows[1], turns_s=[1.1 * s for s in turns_s])
    (tmp_path / "slow.jsonl").write_text(json.dumps(slow))
    (tmp_path / "fast.jsonl").write_text(json.dumps(fast))
    done = user.types("bench", "compare", "fast.jsonl", "slow.jsonl", "--fail-on", "5%", "--json")
    told = json.loads(done.out)
    assert told[0]["ratio"]["value"] == pytest.approx(1.1)
    assert (done.code, told[0]["verdict"]) == (6, "slower")
    assert user.types("bench", "compare", "fast.jsonl", "slow.jsonl", "--fail-on", "20%").code == 0
    other = dict(slow, context={**slow["context"], "cpu": "Other CPU"})
    (tmp_path / "other.jsonl").write_text(json.dumps(other))
    refused = user.types("bench", "compare", "fast.jsonl", "other.jsonl")
    assert refused.code == 2
    assert "Other CPU" in refused.err
    assert "--force" in refused.err
    forced = user.types("bench", "compare", "fast.jsonl", "other.jsonl", "--force")
    assert forced.code == 6
    assert "not alike" in forced.err


def test_ctrl_c_keeps_what_was_measured(user: User) -> None:
    """Before the first round there is nothing to keep, and nothing is printed."""
    process = user.starts("bench", "tales", *QUICK, "-r", "1000000", "-o", "jsonl", *SPEED)
    time.sleep(4)  # long enough for a first round, on most machines
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    for row in map(json.loads, out.splitlines()):
        assert row["interrupted"]
        assert row["seconds"]["n"] >= 1
        assert "-r 1000000" in row["command"]


def test_a_terminal_shows_the_time_left(user: User) -> None:
    shown, code = user.types_on_terminal(
        "bench", "tales", "-p", "4", "-n", "3", "--seconds", "1.5", "--cool", "0", *SPEED,
    )  # fmt: skip
    assert code == 0
    assert "measuring" in shown
    assert " left" in shown
    assert "TTFT" in shown
    assert "kept as run" in shown


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("tales", "speed"), "mode: expected one of latency, sweep"),
        (("tales", "latency", "torch"), "only mode vs takes names behind it"),
        (("tales", "vs", "abacus", "--quick"), "vs: expected some of llama.cpp"),
        (("tales", "-p", "0"), "-p: expected numbers from 1 up"),
        (("tales", "-t", "8-1"), "ends before it begins"),
        (("tales", "-o", "xml"), "-o: expected one of table"),
        (("tales", "-r", "0"), "--runs: expected 1 or more"),
        (("tales", "sustained", "--minutes", "0"), "--minutes: expected more than 0"),
        (("tales", "embed", "--quick"), "gives no vectors of texts"),
        (("tales", "-p", "5000", "--quick"), "exceed the model's"),
        (("tales", "-d", "4", "-b", "2", *QUICK), "one sequence at a time"),
        (("tales", "--dtype", "int5", "--quick"), "int5"),
        (("compare", "last", "last"), "there is no history yet"),
        (("compare", "a", "b", "--fail-on", "much"), "--fail-on: expected a percentage"),
        (("history",), "there is no history yet"),
    ],
)
def test_senseless_requests_are_refused(user: User, args: tuple[str, ...], told: str) -> None:
    done = user.types("bench", *args)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_files_that_are_none(user: User, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "prose.jsonl").write_text("no rows here\n")
    for args, told in (
        (("tales", "--text", "binary", "--quick"), "cannot be read as UTF-8"),
        (("tales", "--text", "empty", "--quick"), "there is no text in it"),
        (("tales", "--text", "missing", "--quick"), "cannot be read"),
        (("compare", "prose.jsonl", "prose.jsonl"), "no row of `lapwing bench` in it"),
    ):
        done = user.types("bench", *args)
        assert done.code == 4, done.err
        assert told in done.err
    assert user.types("bench", "no/such-model", "--quick").code == 4


def test_help_names_the_modes(user: User) -> None:
    assert "compare" in user.types("bench", "--help").out
    assert "sustained" in user.types("bench", "measure", "--help").out


def test_profile_memory_adds_up(user: User) -> None:
    told = user.types("profile-memory", "tales", "--dtype", "int8", "-p", "8", "-n", "4", "--json")
    profile = told.json
    if profile["reason"]:
        pytest.skip(profile["reason"])
    parts = {part["name"]: part for part in profile["parts"]}
    assert list(parts) == [
        "python", "libraries", "tokenizer", "weights", "kv cache", "activations and scratch"
    ]  # fmt: skip
    assert parts["weights"]["held_bytes"] > 4e6
    assert parts["kv cache"]["held_bytes"] > 0
    assert parts["python"]["private_bytes"] > 1e6
    phases = [point[1] for point in profile["timeline"]]
    assert list(dict.fromkeys(phases)) == ["python", "libraries", "load", "prefill", "decode"]
    shown = user.types("profile-memory", "tales", "-p", "8", "-n", "4")
    assert "weights" in shown.out
    assert "peak in" in shown.out
    assert user.types("profile-memory", "tales", "-p", "5000").code == 2


def test_pictures(user: User) -> None:
    pytest.importorskip("matplotlib", reason="the extra bench is not installed")
    args = ("tales", *QUICK, "--no-quality", "--plot", "speed.png")
    assert user.types("bench", *args).code == 0
    assert (user.home / "speed.png").read_bytes().startswith(PICTURE)
    done = user.types("profile-memory", "tales", "-p", "8", "-n", "4", "--plot", "memory.png")
    assert done.code == 0, done.err
    measured_twice(user)
    done = user.types("bench", "history", "tales", "--plot", "history.png")
    assert done.code == 0, done.err
    assert (user.home / "history.png").read_bytes().startswith(PICTURE)
    refused = user.types("bench", "tales", *QUICK, "--plot", "no/such/folder.png")
    assert refused.code == 4
