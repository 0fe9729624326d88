"""`lapwing monitor` as a user meets it: once, as JSON, recorded and replayed, on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from e2e.command import User
from sensor_trees import EVERYTHING, POWERCAP, build

from lapwing.power.pacing.status import Board, Status

COUNTER = f"{POWERCAP}/intel-rapl:0/energy_uj"
PATIENCE_S = 60
MEMINFO = "MemTotal:       16384000 kB\nMemAvailable:   9384000 kB"
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


@pytest.fixture
def user(tmp_path: Path) -> User:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    return User(tmp_path, {"XDG_RUNTIME_DIR": str(runtime)})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return build(tmp_path / "root", {**EVERYTHING, "proc/meminfo": MEMINFO})


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    yield (board := Board(tmp_path / "runtime" / "lapwing"))
    board.withdraw()


STATUS = Status(os.getpid(), 0.0, "tales", "quiet", 0.4, "int4", 2, 41.5, ("70 °C",))


def told_now() -> Status:
    return replace(STATUS, time_s=time.time())


def lines_of(process: subprocess.Popen[bytes], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().decode() for _ in range(count)]


def test_once_on_this_machine(user: User) -> None:
    done = user.types("monitor", "--once")
    assert (done.code, done.err) == (0, "")
    title, *lines = done.out.splitlines()
    assert re.fullmatch(r"this machine, \d\d:\d\d:\d\d", title)
    names = ["temperature", "clock", "power", "battery", "memory", "fan", "throttling", "governor"]
    assert [line.split()[0] for line in lines] == [*names, "tokens"]
    for line in lines:
        name, now, *about = line.split()
        assert now != "–" or about, f"{name}: says why"


def test_once_with_running_processes(user: User, root: Path, board: Board) -> None:
    board.publish(told_now())
    shown = user.types("monitor", "--once", "--sysfs", str(root)).out
    assert shown.startswith(f"sensors of {root}, ")
    assert "\ntemperature  71.0 °C        critical 100 °C · coretemp Package id 0\n" in shown
    pid = f"pid {os.getpid()}"
    assert f"\n{pid:<11}  41.5 tokens/s  tales · quiet · duty 40 % · int4 · " in shown


def test_json_of_a_faked_machine(user: User, root: Path) -> None:
    with watching(user, "--json", "--sysfs", str(root), "--interval", "0.2") as process:
        first = json.loads(*lines_of(process, 1))
        (root / COUNTER).write_text("3500000\n")
        later = [json.loads(line) for line in lines_of(process, 3)]
    assert first["readings"]["coretemp Package id 0"]["value"] == 71.0
    assert first["observation"]["critical_c"] == 100.0
    assert first["processes"] == []
    assert first["governor"]["mode"] == "observe"
    watts = [sample["observation"]["watts"] for sample in later]
    assert 0.0 < max(each or 0.0 for each in watts) <= 2.5 / 0.1, "2.5 J in one step"
    assert all(b["time_s"] > a["time_s"] for a, b in pairwise(later))


@contextmanager
def watching(user: User, *args: str, expect: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Until the block is over; then Ctrl-C."""
    process = user.starts("monitor", *args)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == expect, err.decode()
    finally:
        process.kill()
        process.wait()


def test_not_on_a_terminal(user: User, tmp_path: Path) -> None:
    bare = build(tmp_path / "bare", {"proc/version": "Linux"})
    process = user.starts("monitor", "--sysfs", str(bare), "--interval", "0.1")
    lines = lines_of(process, 3)
    process.send_signal(signal.SIGTERM)
    rest, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "\x1b" not in "".join(lines) + rest.decode()
    for line in lines:
        assert re.match(r"\d\d:\d\d:\d\d  temperature –  clock –  power –  battery –", line)
    notes = err.decode().splitlines()
    assert len(notes) == len(set(notes)) == 8
    assert notes[0].startswith("note: temperature: processor: no hwmon chip")


def test_record_then_replay(user: User, root: Path) -> None:
    with watching(
        user, "--sysfs", str(root), "--interval", "0.1", "--record", "trace.jsonl", "--json"
    ) as process:
        seen = lines_of(process, 4)
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    trace = (user.home / "trace.jsonl").read_text()
    assert trace == "".join(seen) + rest.decode()
    assert err.decode() == f"trace.jsonl: {trace.count(chr(10))} samples\n"
    assert user.types("monitor", "--replay", "trace.jsonl", "--json").out == trace
    shown = user.types("monitor", "--replay", "trace.jsonl", "--speed", "100").out
    assert shown.count("temperature 71.0 °C  clock 2000 MHz") == trace.count("\n")
    once = user.types("monitor", "--replay", "trace.jsonl", "--once").out
    assert once.startswith("trace.jsonl, recorded, ")


def test_a_replay_takes_its_time(user: User, root: Path) -> None:
    line = user.types("monitor", "--sysfs", str(root), "--json", "--once").out
    sample = json.loads(line)
    samples = [{**sample, "time_s": sample["time_s"] + after_s} for after_s in (0, 4, 3600)]
    (user.home / "trace").write_text("".join(json.dumps(each) + "\n" for each in samples))
    began_s = time.monotonic()
    assert user.types("monitor", "--replay", "trace", "--speed", "10").out.count("\n") == 3
    assert 1.4 <= time.monotonic() - began_s < PATIENCE_S, "0.4 s, and 1 s for the hour"


def on_terminal(user: User, *args: str, until: str) -> tuple[str, int]:
    """On a terminal of 100 × 40, until something is shown; then Ctrl-C is typed."""
    ours, theirs = pty.openpty()
    environment = {**user.environment(), "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(
        [sys.executable, "-m", "lapwing", "monitor", *args],
        env=environment,
        cwd=user.home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=own_terminal,
    )
    os.close(theirs)
    shown, typed = "", False
    try:
        while True:
            assert select.select([ours], [], [], PATIENCE_S)[0], shown
            try:
                shown += os.read(ours, 65536).decode(errors="replace")
            except OSError:  # Linux's end of a terminal
                return shown, process.wait(timeout=PATIENCE_S)
            if until in shown and not typed:
                typed = True
                os.write(ours, b"\x03")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def own_terminal() -> None:
    """So that Ctrl-C that is typed there comes as a signal."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.default_int_handler)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_on_a_terminal(user: User, root: Path, board: Board) -> None:
    board.publish(told_now())
    shown, code = on_terminal(
        user, "--sysfs", str(root), "--interval", "0.2", "--record", "trace", until="nominal"
    )
    assert code == 0, shown
    assert HIDE_CURSOR in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    text = re.sub(r"\x1b\[\??[\d;]*[a-zA-Z]", "", shown)
    assert f"lapwing monitor · sensors of {root}" in text
    assert f"pid {os.getpid()}" in text
    for word in ("71.0 °C", "2000 MHz", "6.7 GiB", "3120 rpm", "41.5 tokens/s", "█"):
        assert word in text
    trace = (user.home / "trace").read_text()
    assert f"trace: {trace.count(chr(10))} samples" in text
    for line in trace.splitlines():
        assert json.loads(line)["format"] == "lapwing monitor 1"
    assert user.types("monitor", "--replay", "trace", "--json").code == 0


def test_a_replay_on_a_terminal_ends_by_itself(user: User, root: Path) -> None:
    line = user.types("monitor", "--sysfs", str(root), "--json", "--once").out
    (user.home / "trace").write_text(line * 3)
    shown, code = user.types_on_terminal("monitor", "--replay", "trace", "--speed", "5")
    assert code == 0, shown
    assert "71.0 °C" in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)


def test_a_bad_line_on_a_terminal_restores_it(user: User, root: Path) -> None:
    line = user.types("monitor", "--sysfs", str(root), "--json", "--once").out
    (user.home / "trace").write_text(line + "rubbish\n")
    shown, code = user.types_on_terminal("monitor", "--replay", "trace")
    assert code == 4
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert "trace, line 2: expected a sample" in shown


def test_a_dumb_terminal_has_lines(user: User, root: Path) -> None:
    line = user.types("monitor", "--sysfs", str(root), "--json", "--once").out
    (user.home / "trace").write_text(line)
    user.env["TERM"] = "dumb"
    shown, code = user.types_on_terminal("monitor", "--replay", "trace")
    assert code == 0
    assert "\x1b" not in shown
    assert "temperature 71.0 °C" in shown


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--replay", "nothing"), 4, "nothing: cannot be read (No such file or directory)."),
        (("--replay", "text"), 4, "text, line 1: expected a sample of `lapwing monitor --record"),
        (("--replay", "empty"), 4, "empty: is empty."),
        (("--record", "text", "--once"), 4, "text: is there already. Delete it, or choose"),
        (("--record", "nowhere/trace", "--once"), 4, "nowhere/trace: cannot be written (No such"),
        (("--sysfs", "nothing", "--once"), 2, "nothing: expected a folder that holds sys"),
        (("--replay", "text", "--record", "new"), 2, "--replay shows what was recorded; it takes"),
        (("--replay", "text", "--sysfs", "/"), 2, "it takes no --sysfs."),
        (("--speed", "2"), 2, "--speed is of a replay; give --replay FILE, too."),
        (("--replay", "text", "--speed", "0"), 2, "--speed: expected a number above 0, got 0"),
        (("--replay", "text", "--speed", "nan"), 2, "--speed: expected a number above 0, got nan"),
        (("--interval", "0.01"), 2, "--interval: expected 0.1 to 3600 seconds, got 0.01"),
        (("--interval", "nan"), 2, "--interval: expected 0.1 to 3600 seconds, got nan"),
    ],
)
def test_what_cannot_be(user: User, args: tuple[str, ...], code: int, said: str) -> None:
    (user.home / "text").write_text("hello\n")
    (user.home / "empty").write_text("")
    done = user.types("monitor", *args)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
    assert said in done.err
    assert not (user.home / "new").exists()
    assert (user.home / "text").read_text() == "hello\n"


def test_a_reader_that_has_enough(user: User, root: Path) -> None:
    process = user.starts("monitor", "--json", "--sysfs", str(root), "--interval", "0.1")
    lines_of(process, 1)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=PATIENCE_S) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_help_has_its_options(user: User) -> None:
    shown: Any = user.types("monitor", "--help").out
    for option in ("--json", "--once", "--interval", "--sysfs", "--record", "--replay", "--speed"):
        assert option in shown
