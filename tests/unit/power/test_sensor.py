"""Deadlines, stuck sensors, values that cannot be, and trees of files."""

from __future__ import annotations

import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_trees import EVERYTHING, HWMON, LAPTOPS, build, chip

from lapwing.errors import FileError, RequestError
from lapwing.power.sensors import Sensor, discover, open_tree
from lapwing.power.sensors.deadline import Deadline, SensorTimeoutError
from lapwing.power.sensors.sensor import MIN_EQUAL_READINGS
from lapwing.power.sensors.tree import MAX_FILE_BYTES, Disk, Recording, _natural


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_fifo_hangs_and_nobody_waits(tmp_path: Path) -> None:
    files = chip(0, "coretemp", temp1_input=50_000, temp1_label="Package id 0")
    build(tmp_path, files | chip(1, "nvme", temp1_input=40_000))
    hanging = tmp_path / HWMON / "hwmon0" / "temp1_input"
    hanging.unlink()
    os.mkfifo(hanging)
    sensors = discover(tmp_path)
    threads = threading.active_count()
    began_s = time.monotonic()
    readings = sensors.read(["temperature"])
    first = readings["coretemp Package id 0"]
    assert (first.value, first.reason) == (None, "did not answer within 200 ms")
    assert readings["nvme temp1"].value == 40.0
    for _ in range(20):
        again = sensors.read(["temperature"])["coretemp Package id 0"]
        assert again.reason == "has not answered an earlier reading yet"
    assert time.monotonic() - began_s < 3  # one deadline, not 21
    assert threading.active_count() <= threads + 2  # one that hangs, one for the others
    with hanging.open("w") as writer:  # it wakes up, and what it says counts again
        writer.write("51000\n")
    hanging.unlink()
    hanging.write_text("52000\n")
    _until(lambda: sensors.read(["temperature"])["coretemp Package id 0"].value == 52.0)


def test_a_name_that_hangs_costs_one_deadline(tmp_path: Path) -> None:
    build(tmp_path, EVERYTHING)
    for folder, name in ((f"{HWMON}/hwmon0", "name"), ("sys/class/power_supply/ADP1", "type")):
        (tmp_path / folder / name).unlink()
        os.mkfifo(tmp_path / folder / name)
    began_s = time.monotonic()
    sensors = discover(tmp_path)
    assert time.monotonic() - began_s < 5
    package = sensors.first("temperature")
    assert package is not None
    assert package.read().value == 71.0


def _until(holds: object, limit_s: float = 10.0) -> None:
    end_s = time.monotonic() + limit_s
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end_s, "still not so"
        time.sleep(0.01)


def test_a_deadline_passes_errors_on() -> None:
    deadline = Deadline(5)
    assert deadline.call("key", lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        deadline.call("key", lambda: 1 // 0)
    with pytest.raises(SensorTimeoutError, match="within 1 ms"):
        Deadline(0.001).call("key", threading.Event().wait)


def test_a_thread_serves_many_calls_and_ends_with_its_deadline() -> None:
    deadline, before = Deadline(5), threading.active_count()
    names = {deadline.call("key", lambda: threading.current_thread().ident) for _ in range(50)}
    assert len(names) == 1
    assert threading.active_count() <= before + 1
    del deadline
    gc.collect()
    _until(lambda: threading.active_count() <= before)


def test_callers_from_many_threads() -> None:
    deadline = Deadline(10)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(deadline.call, f"{n % 3}", lambda n=n: n) for n in range(300)]
    assert [call.result() for call in calls] == list(range(300))


def sensor(values: list[float], clock: FakeClock, **judged: float) -> Sensor[float]:
    it = iter(values)
    return Sensor(
        "temperature",
        "t",
        "°C",
        "file",
        "board",
        lambda: next(it),
        clock=clock,
        plausible=(-40.0, 130.0),
        **judged,  # type: ignore[arg-type]
    )


def test_a_value_that_stays_the_same_is_stuck() -> None:
    clock = FakeClock()
    stuck = sensor([27.85] * 30 + [28.85], clock, stuck_after_s=60)
    qualities = []
    for _ in range(30):
        qualities.append(stuck.read().quality)
        clock.now_s += 10
    assert qualities[: MIN_EQUAL_READINGS - 1] == ["measured"] * (MIN_EQUAL_READINGS - 1)
    assert qualities[-1] == "stuck"
    moved = stuck.read()
    assert (moved.value, moved.quality, moved.time_s) == (28.85, "measured", 1300.0)
    assert moved.age_s(1301.5) == 1.5


def test_few_readings_are_not_stuck() -> None:
    clock = FakeClock()
    rare = sensor([40.0] * 5, clock, stuck_after_s=60)
    for _ in range(5):
        assert rare.read().quality == "measured"
        clock.now_s += 600


@pytest.mark.parametrize("value", [-273.15, 255.0, float("nan"), float("inf")])
def test_values_that_cannot_be(value: float) -> None:
    reading = sensor([value], FakeClock()).read()
    assert (reading.value, reading.quality) == (None, "unavailable")
    assert "is not between -40 and 130" in str(reading.reason)


def test_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "root", EVERYTHING)
    monkeypatch.setenv("LAPWING_SYSFS", str(tmp_path / "root"))
    assert discover().root == str(tmp_path / "root")
    assert discover("/").root == "/"
    monkeypatch.delenv("LAPWING_SYSFS")
    assert open_tree().label == "/"
    assert open_tree().own
    assert not open_tree(tmp_path).own


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        '{"format": "another"}',
        '{"format": "lapwing sensors 1"}',
        '{"format": "lapwing sensors 1", "files": []}',
        '{"format": "lapwing sensors 1", "files": {"a": 1}}',
        '{"format": "lapwing sensors 1", "files": {"a": {"error": "errorcode"}}}',
        "[" * 100_000,
        "\x00\xff",
    ],
)
def test_files_that_are_no_recording(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileError, match="expected a recording of sensors"):
        discover(path)


def test_no_root_at_all(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no such file or folder"):
        discover(tmp_path / "nothing")


@given(
    st.dictionaries(st.text("abc/", min_size=1).map("sys/".__add__), st.text(max_size=30)),
)
def test_a_recording_survives_its_file(files: dict[str, str]) -> None:
    recording = Recording(dict(files))
    assert Recording.parse(recording.dump()).files == recording.files


def test_errors_survive_a_recording() -> None:
    recording = Recording({"a": PermissionError(13, "no"), "b": OSError(61, "no data")})
    again = Recording.parse(recording.dump())
    with pytest.raises(PermissionError):
        again.text("a")
    with pytest.raises(OSError, match="No data"):
        again.text("b")


@settings(deadline=None)  # a thread for each reading
@given(st.dictionaries(st.sampled_from(sorted(EVERYTHING)), st.text(max_size=40)))
def test_no_file_can_make_it_raise(changed: dict[str, str]) -> None:
    sensors = discover(Recording(EVERYTHING | changed))
    for reading in sensors.read().values():
        assert reading.value is not None or reading.reason


@settings(deadline=None)
@given(st.sets(st.sampled_from(sorted(EVERYTHING))))
def test_no_missing_file_can_make_it_raise(gone: set[str]) -> None:
    tree = Recording(EVERYTHING)
    sensors = discover(tree)
    for path in gone:
        del tree.files[path]
    for found in (sensors, discover(tree)):
        for reading in found.read().values():
            assert reading.value is not None or reading.reason


def test_a_tree_of_odd_files(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"1" * 10 * MAX_FILE_BYTES)
    (tmp_path / "binary").write_bytes(b"\xff\x00\n")
    (tmp_path / "loop").symlink_to("loop")
    tree = Disk(tmp_path)
    assert len(tree.text("large")) == MAX_FILE_BYTES
    assert tree.text("binary") == "\ufffd"
    with pytest.raises(OSError, match="loop"):
        tree.text("loop")
    assert tree.names("nothing") == []


def test_natural_order() -> None:
    assert sorted(["hwmon10", "hwmon2", "BAT0", "hwmon"], key=_natural) == [
        "BAT0",
        "hwmon",
        "hwmon2",
        "hwmon10",
    ]


def test_a_recording_of_nothing_finds_reasons() -> None:
    sensors = discover(Recording(LAPTOPS["container without power supplies"].files))
    assert sensors.readings == ()
    quantities = {missing.quantity for missing in sensors.missing}
    assert {"energy", "temperature", "fan", "frequency", "pressure", "plugged"} <= quantities
    assert all(missing.reason for missing in sensors.missing)
