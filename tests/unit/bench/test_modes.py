"""Modes: which configurations take turns together, minutes, contexts, files in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bench_fakes import IdlePower, counted_laptop
from tolerances import COUNTED_ENERGY

from lapwing.bench.configuration import Configuration, Request
from lapwing.bench.measure.page_cache import cached_fraction, forget
from lapwing.bench.modes import measure
from lapwing.bench.modes.speed import groups_of
from lapwing.bench.modes.sustained import sustained_ratio
from lapwing.bench.rules import Rules
from lapwing.bench.session import Session
from lapwing.bench.situation import differences, model_sha256, situation
from lapwing.errors import RequestError
from lapwing.power.sensors import discover

FOUR = [Configuration(dtype) for dtype in ("f32", "f16", "int8", "int4")]


def session(available: int | None, held: dict[str, int]) -> Session:
    facts = {dtype: {"held_bytes": nbytes} for dtype, nbytes in held.items()}
    fake = SimpleNamespace(context={"memory_available_bytes": available}, facts=facts)
    return cast(Session, fake)


@pytest.mark.parametrize(
    ("available", "want"), [(None, [4]), (10**12, [4]), (2000, [1, 2, 1]), (100, [1, 1, 1, 1])]
)
def test_a_group_fits_into_half_of_the_free_memory(available: int | None, want: list[int]) -> None:
    held = {"f32": 900, "f16": 500, "int8": 250, "int4": 751}
    groups = groups_of(session(available, held), FOUR)
    assert [len(group) for group in groups] == want
    assert [c for group in groups for c in group] == FOUR


def test_at_most_eight_at_once() -> None:
    many = [Configuration("int8", str(n)) for n in range(1, 20)]
    groups = groups_of(session(None, {"int8": 1}), many)
    assert [len(group) for group in groups] == [8, 8, 3]


def test_the_sustained_ratio_is_of_the_last_minute_and_the_first() -> None:
    def point(minutes: float, rate: float) -> dict[str, Any]:
        return {"time_s": 60 * minutes, "rate": rate}

    timeline = [point(0.5, 100), point(1.0, 120), point(5, 500), point(9.5, 60), point(10, 72)]
    assert sustained_ratio(timeline) == pytest.approx(66 / 110)
    assert sustained_ratio(timeline[:2]) is None
    assert sustained_ratio([]) is None


def request(work: Path, mode: str, **changes: Any) -> Request:
    one = Configuration("int4", "1", n_prompt=4, n_gen=3)
    return Request("tales", mode, (one,), work, Rules.quick(), quick=True, **changes)


def test_heat_of_a_sustained_run_is_in_the_row(tmp_path: Path) -> None:
    laptop = counted_laptop(tmp_path / "machine", start_c=44.0)
    results = measure(request(tmp_path, "sustained", minutes=0.01), sensors=laptop.sensors())
    (row,) = results.records
    assert row.temp_c is not None
    assert (row.temp_c["start_c"], row.temp_c["rise_c"]) == (44.0, 0.0)
    assert "hwmon" in row.temp_c["source"]
    assert row.sustained is not None
    assert {p["temperature_c"] for p in row.sustained["timeline"]} == {44.0}
    assert "temp_c" not in row.reasons


def test_energy_of_tokens_is_in_the_row(tmp_path: Path) -> None:
    """A machine that always draws 20 W: nothing is left above its idle power."""
    laptop = counted_laptop(tmp_path / "machine")
    wanted = replace(request(tmp_path, "energy"), rules=replace(Rules.quick(), energy_s=0.4))
    with IdlePower(laptop, watts=20.0):
        results = measure(wanted, sensors=laptop.sensors(window_s=0.4, ticks=5))
    (row,) = results.records
    assert row.energy is not None, row.reasons
    told = row.energy
    assert told["mean_w"] == pytest.approx(20.0, rel=COUNTED_ENERGY)
    assert abs(told["mean_net_w"]) < 20.0 * COUNTED_ENERGY
    assert told["j_per_run"] * told["runs"] == pytest.approx(told["energy_j"])
    assert row.j_per_token == pytest.approx(told["j_per_run"] / 7)
    assert told["j_per_prefill_token"] > 0
    assert (told["scope"], told["quality"]) == ("package", "measured")
    assert "energy" not in row.reasons


def test_a_mode_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="mode: expected one of latency"):
        measure(request(tmp_path, "speed"))


def test_the_context_of_this_machine_is_equal_to_itself(tmp_path: Path) -> None:
    context = situation(discover(tmp_path))
    assert context["cpus_usable"] >= 1
    assert context["power_source"] is None
    row = {"mode": "latency", "context": context}
    assert differences(row, row) == []
    other = {**row, "context": {**context, "cpus_usable": 99}}
    assert differences(row, other) == [f"cpus_usable: {context['cpus_usable']} and 99"]


def test_the_digest_is_of_the_weights(tmp_path: Path) -> None:
    assert model_sha256(tmp_path) == (None, "no file of weights there")
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    digest, reason = model_sha256(tmp_path)
    assert reason is None
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_was_read_is_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1_000_000)
    path.read_bytes()
    fraction = cached_fraction(path)
    if fraction is None:
        pytest.skip("this system does not tell which pages of a file are in memory")
    assert fraction == 1.0
    forget(path)
    left = cached_fraction(path)
    assert left is not None
    assert 0.0 <= left <= 1.0  # whether it lets go is the system's affair
    (tmp_path / "empty").write_bytes(b"")
    assert cached_fraction(tmp_path / "empty") == 0.0
