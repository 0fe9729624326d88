"""Samples of faked machines, their traces, and files that are none."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from resident import SOURCES
from sensor_trees import EVERYTHING, Files, chip, device

from lapwing.errors import FileError
from lapwing.power.governor.observation import Observation
from lapwing.power.monitor.history import History
from lapwing.power.monitor.memory import used
from lapwing.power.monitor.monitor import Monitor
from lapwing.power.monitor.sample import FORMAT, Sample, Verdict
from lapwing.power.monitor.trace import MAX_LINE_BYTES, Recorder, read_trace
from lapwing.power.pacing.status import Status
from lapwing.power.sensors.tree import Recording

MEMINFO = "MemTotal:       16384000 kB\nMemFree: 1 kB\nMemAvailable:   9384000 kB\nBuffers: 9 kB"
STATUS = Status(42, 1000.0, "tales", "quiet", 0.4, "int4", 2, 41.5, ("70 °C",))


@pytest.fixture
def monitor(tmp_path: Path) -> Callable[..., Monitor]:
    def make(files: Files, statuses: tuple[Status, ...] = ()) -> Monitor:
        path = tmp_path / "recording.json"
        path.write_text(Recording(files).dump())
        times = iter(range(10**6))
        return Monitor(path, 1.0, lambda: list(statuses), lambda: next(times) / 100, lambda: 1000.0)

    return make


def test_a_whole_machine(monitor: Callable[..., Monitor]) -> None:
    sample = monitor({**EVERYTHING, "proc/meminfo": MEMINFO}, (STATUS,)).sample()
    assert {name: line.value for name, line in sample.readings.items()} == {
        "coretemp Package id 0": 71.0,
        "RAPL package": None,
        "package throttle count": 9.0,
        "thinkpad fan1": 3120.0,
        "charger": True,
        "weak charger": True,
        "battery charge": 0.5,
        "platform profile": "balanced",
        "energy preference": "balance_performance",
        "memory pressure (some)": 0.01,
        "CPU clock": 2000.0,
        "battery status": "Discharging",
        "battery discharge": 14.0,
        "memory used": 7_000_000 * 1024.0,
    }
    assert [name for name, _ in sample.of("power")] == ["RAPL package", "battery discharge"]
    assert sample.readings["coretemp Package id 0"].limit == 100.0
    assert (sample.missing, sample.processes, sample.time_s) == ({}, (STATUS,), 1000.0)
    assert sample.observation.temperature_c == 71.0
    assert sample.governor == Verdict("observe", 1.0, False, False, ())


def test_a_machine_that_shows_nothing(monitor: Callable[..., Monitor]) -> None:
    sample = monitor({"proc/version": "Linux"}).sample()
    assert all(line.value is None and line.reason for line in sample.readings.values())
    assert sample.readings.keys() == {"watts", "memory used"}
    shown = {"temperature", "frequency", "plugged", "charge", "fan", "throttle", "pressure"}
    assert sample.missing.keys() == shown
    assert all(sample.missing.values())
    assert sample.observation == Observation()


def test_sensors_of_something_else_are_not_the_processors(monitor: Callable[..., Monitor]) -> None:
    sample = monitor({"windows/thermal/0": "3001"}).sample()
    assert sample.missing["temperature"] == "none of its sensors is the processor's"


def test_the_governor_is_asked_in_observe(monitor: Callable[..., Monitor]) -> None:
    hot = chip(3, "coretemp", temp1_input=98_000, temp1_label="Package id 0", temp1_crit=100_000)
    assert monitor(hot).sample().governor == Verdict("observe", 0.0, False, False, ("98 °C",))
    stalls = device("proc/pressure", memory="some avg10=20.00 avg60=0.00 avg300=0.00 total=1")
    assert monitor(stalls).sample().governor.shed


def test_prime(monitor: Callable[..., Monitor]) -> None:
    assert monitor(EVERYTHING).prime(), "watts of a counter"
    assert monitor({"proc/stat": "cpu  1 2 3 4 5 6 7 8 9 10"}).prime(), "load of others"
    assert not monitor(chip(10, "thinkpad", fan1_input=3120)).prime()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "proc/meminfo: it is not there (any more)"),
        ("", "proc/meminfo: it has no line 'MemTotal: … kB'"),
        ("MemTotal: 7 kB", "proc/meminfo: it has no line 'MemAvailable: … kB'"),
        (
            "MemTotal: 7 kB\nMemAvailable: -3 kB",
            "proc/meminfo: it has no line 'MemAvailable: … kB'",
        ),
    ],
)
def test_memory_that_is_not_told(text: str | None, reason: str) -> None:
    line = used(Recording({} if text is None else {"proc/meminfo": text}))
    assert (line.value, line.quality, line.reason) == (None, "unavailable", reason)


# Traces.


@pytest.fixture
def sample(monitor: Callable[..., Monitor]) -> Sample:
    return monitor(
        {**EVERYTHING, "proc/meminfo": MEMINFO}, (STATUS, replace(STATUS, pid=43))
    ).sample()


def test_json_and_back(sample: Sample, monitor: Callable[..., Monitor]) -> None:
    for each in (sample, monitor({"proc/version": "Linux"}).sample()):
        assert "\n" not in each.to_json()
        assert Sample.from_json(each.to_json()) == each


def test_a_trace_and_back(sample: Sample, tmp_path: Path) -> None:
    samples = [replace(sample, time_s=float(n)) for n in range(3)]
    with Recorder(tmp_path / "trace") as recorder:
        for each in samples:
            recorder.write(each)
    assert recorder.count == 3
    assert list(read_trace(tmp_path / "trace")) == samples


def test_every_sample_is_there_at_once(sample: Sample, tmp_path: Path) -> None:
    with Recorder(tmp_path / "trace") as recorder:
        recorder.write(sample)
        assert list(read_trace(tmp_path / "trace")) == [sample]


def test_a_recorder_does_not_overwrite(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text("precious")
    with pytest.raises(FileError, match="trace: is there already"):
        Recorder(tmp_path / "trace")
    assert (tmp_path / "trace").read_text() == "precious"
    with pytest.raises(FileError, match=r"cannot be written \(No such file"):
        Recorder(tmp_path / "nowhere" / "trace")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from lapwing.errors import FileError
from lapwing.power.monitor.sample import Sample
from lapwing.power.monitor.trace import Recorder

sample = Sample.from_json(sys.stdin.read())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Recorder(Path("trace")) as recorder:
    recorder.write(sample)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(sample.to_json()) + 100, resource.RLIM_INFINITY))
    try:
        recorder.write(sample)
    except FileError as error:
        print(error)
"""


def test_a_full_disk_leaves_whole_lines(sample: Sample, tmp_path: Path) -> None:
    """A limit of file sizes stands for it, in a process of its own: it holds for every file."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK], input=sample.to_json(), cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCES)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "trace: cannot be written (File too large)" in done.stdout, done.stderr
    assert list(read_trace(tmp_path / "trace")) == [sample]


def changed(text: str, **changes: Any) -> str:
    return json.dumps({**json.loads(text), **changes})


HOSTILE: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "another format": (lambda t: changed(t, format="x"), f"'format' is not '{FORMAT}'"),
    "no object": (lambda t: "[1]", f"'format' is not '{FORMAT}'"),
    "no JSON": (lambda t: "hello", "Expecting value"),
    "blank": (lambda t: "", "Expecting value"),
    "not UTF-8": (lambda t: b"\xff\xfe", "can't decode"),
    "deep": (lambda t: "[" * 100_000, "nested too deeply"),
    "long": (lambda t: " " * MAX_LINE_BYTES + t, "it is too long"),
    "a field more": (lambda t: changed(t, owner="me"), "it has no field owner"),
    "a field less": (lambda t: t.replace('"missing": {}, ', ""), "missing is not there"),
    "no time": (lambda t: changed(t, time_s="now"), "time_s: expected float, got 'now'"),
    "NaN": (lambda t: changed(t, time_s=math.nan), "time_s: expected a finite number"),
    "infinite": (lambda t: t.replace("71.0", "1e999"), "value: "),
    "a list for readings": (lambda t: changed(t, readings=[]), "readings: expected dict"),
    "an object for a value": (lambda t: t.replace("71.0", "{}"), "value: expected str"),
    "a level that is none": (
        lambda t: t.replace('"thermal_pressure": null', '"thermal_pressure": "hot"'),
        "thermal_pressure: expected nominal or moderate or heavy or trapping, got 'hot'",
    ),
    "reasons of numbers": (
        lambda t: t.replace('"shed": false, "reasons": []', '"shed": false, "reasons": [1]'),
        "reasons[0]: expected str",
    ),
    "processes of another kind": (lambda t: changed(t, processes=[7]), "processes[0]: expected an"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_lines(sample: Sample, tmp_path: Path, name: str) -> None:
    spoil, said = HOSTILE[name]
    good, bad = sample.to_json(), spoil(sample.to_json())
    assert bad != good
    data = bad if isinstance(bad, bytes) else bad.encode()
    (tmp_path / "trace").write_bytes(good.encode() + b"\n" + data + b"\n")
    samples = read_trace(tmp_path / "trace")
    assert next(samples) == sample
    with pytest.raises(FileError) as raised:
        next(samples)
    where = f"{tmp_path / 'trace'}, line 2: expected a sample of `lapwing monitor --record FILE` ("
    assert str(raised.value).startswith(where)
    assert said in str(raised.value)
    assert len(str(raised.value)) < len(where) + 200


def test_files_that_are_none(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "cut").write_text(sample.to_json()[:100])
    (tmp_path / "noise").write_bytes(os.urandom(5000) + b"\n")
    for name, said in {
        "empty": "empty: is empty. `lapwing monitor --record FILE` makes a trace",
        "cut": r"cut, line 1: .*\(it is cut off\)",
        "noise": "noise, line 1: expected a sample",
        ".": "cannot be read",
        "nothing": r"nothing: cannot be read \(No such file or directory\)",
    }.items():
        with pytest.raises(FileError, match=said):
            list(read_trace(tmp_path / name))


def test_every_field_is_in_the_line(sample: Sample) -> None:
    assert json.loads(sample.to_json()).keys() == {"format", *asdict(sample)}


# History.


def test_bars_are_means_of_equal_parts() -> None:
    history = History(10.0)
    assert not history
    for time_s, value in ((100.0, 1.0), (100.5, 3.0), (103.0, 7.0), (109.9, 8.0)):
        history.add(time_s, value)
    assert history.bars(109.9, 5) == [2.0, 7.0, None, None, 8.0]
    assert history.bars(111.0, 5) == [7.0, None, None, 8.0, None], "the oldest is over"
    assert history.bars(1e6, 5) == [None] * 5


def test_a_clock_that_is_put_back() -> None:
    history = History(10.0)
    for time_s in (100.0, 105.0, 103.0):
        history.add(time_s, time_s)
    assert history.bars(105.0, 10)[-3:] == [103.0, None, None]
    history.add(1.0, 1.0)
    assert history.bars(1.0, 2) == [None, 1.0]
