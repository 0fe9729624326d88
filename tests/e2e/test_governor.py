"""The governor in a process of its own: on this machine, and on faked ones whose files change."""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.command import User
from plants import U15, Laptop, Thermometer
from sensor_trees import build, chip, rapl, supply, umockdev
from tiny_sentences import write_sentence_model

SPEED = 60  # seconds of a plant in one of ours
HELD_S = 15.0
SET_C = 85.0
RANGE_UJ = 262_143_328_850

needs_umockdev = pytest.mark.skipif(
    shutil.which("umockdev-run") is None, reason="umockdev is not installed (apt install umockdev)"
)
linux_alone = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def started(user: User, program: str, *before: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-c", program],
        env=user.environment(),
        cwd=user.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], timeout_s: float = 60.0) -> Any:
    """Tells it to stop, and reads its report."""
    out, _ = process.communicate("\n", timeout=timeout_s)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


HERE = """
import glob, json, sys, time
import lapwing

def switches():
    total = {}
    for path in glob.glob("/proc/self/task/*/status"):
        lines = dict(line.split(":", 1) for line in open(path) if ":" in line)
        total[path] = sum(int(lines[k]) for k in lines if k.endswith("ctxt_switches"))
    return total

def tokens(model):
    return model.generate("Once upon a time", max_tokens=200, ignore_eos=True).tokens

with lapwing.load("tales") as free:
    expected = tokens(free)
with lapwing.load("tales", power=50) as model:
    governor, pauses = model.governor, model.governor.pauses
    tokens(model)
    duties, same = [], True
    for _ in range(3):
        began_s, worked_s = time.perf_counter(), pauses.worked_s
        while pauses.worked_s - worked_s < 2.0:
            same = same and tokens(model) == expected
        duties.append((pauses.worked_s - worked_s) / (time.perf_counter() - began_s))
    paused = []
    for _ in range(3):
        tokens(model)  # the pool's threads have just worked
        began_s, cpu_s = time.perf_counter(), time.process_time()
        for _ in range(10):
            pauses.sleep(0.1)
        paused.append((time.process_time() - cpu_s) / (time.perf_counter() - began_s))
    looks = []
    for _ in range(20):
        cpu_s = time.process_time()
        governor.tick()
        looks.append(time.process_time() - cpu_s)
    time.sleep(4.0)  # no work: the thread parks
    before = switches()
    time.sleep(2.0)
    own, *others = (count - before[path] for path, count in sorted(switches().items()))
    report = {
        "same": same, "duty": sorted(duties)[1], "paused_cpu": min(paused),
        "governor_cpu": sorted(looks)[10],  # of a second, once a second
        "wakeups": sum(others),
    }
print(json.dumps(report))
"""


@linux_alone
def test_half_of_the_power_on_this_machine(user: User) -> None:
    """Real clocks, no sensor: duty by wall time, processor time in pauses, wake-ups when idle.

    The machine may be shared: the middle or the best of several windows counts.
    """
    report = ended(started(user, HERE), 120.0)
    print(report)
    assert report["same"]
    assert report["duty"] == pytest.approx(0.5, abs=0.03)
    assert report["paused_cpu"] <= 0.02
    assert report["governor_cpu"] <= 0.001
    assert report["wakeups"] == 0


STREAMED = """
import json, sys, time
import lapwing

with lapwing.load("tales", profile="auto", switch_precision="token") as model:
    stream = model.stream("Once upon a time", max_tokens=230, ignore_eos=True)
    switched_s = None
    for at, _ in enumerate(stream):
        if at == 20:
            print("streaming", flush=True)
        if at > 20 and switched_s is None:
            time.sleep(0.02)  # a reader; the answer would be over before the plug is out
        if switched_s is None and stream.result.precision_switches:
            switched_s = time.time()
    result = stream.result
    cache, ids, expected = model.kv_cache(), model.tokenizer.encode("Once upon a time"), []
    (switch,) = result.precision_switches
    for at in range(len(result.tokens)):
        dtype = "int8" if at < switch.token else "int4"
        logits, _ = model.forward_with_kv_cache(ids, cache, dtype=dtype, last_only=True)
        ids = [int(logits[0].argmax())]
        expected += ids
    print(json.dumps({
        "switched_s": switched_s, "token": switch.token, "reason": switch.reason,
        "dtype": switch.dtype, "same": expected == result.tokens, "governor": result.governor,
        "power_source": result.power_source,
    }))
"""


def laptop(*, plugged: bool, millidegrees: int = 50_000, energy_uj: int = 0) -> dict[str, str]:
    battery = "Charging" if plugged else "Discharging"
    return (
        supply("AC", "Mains", online=int(plugged))
        | supply(
            "BAT0", "Battery", status=battery, energy_now=17_500_000, energy_full=50_000_000,
            power_now=14_000_000,
        )
        | chip(0, "coretemp", temp1_input=millidegrees, temp1_label="Package id 0",
               temp1_crit=100_000)
        | rapl("0", "package-0", energy_uj, RANGE_UJ)
    )  # fmt: skip


@pytest.mark.parametrize("under", ["umockdev", "folder"])
def test_the_plug_is_pulled_in_the_middle_of_an_answer(
    user: User, tmp_path: Path, under: str
) -> None:
    """Seen within two seconds; the tokens behind it are int4's, given the cache of int8's."""
    before: tuple[str, ...] = ()
    root = tmp_path / "root"
    if under == "umockdev":
        if shutil.which("umockdev-run") is None:
            pytest.skip("umockdev is not installed (apt install umockdev)")
        (user.home / "laptop.umockdev").write_text(umockdev(laptop(plugged=True)))
        before = ("umockdev-run", "--device=laptop.umockdev", "--")
        program = "import os; print(os.environ['UMOCKDEV_DIR'], flush=True)\n" + STREAMED
    else:
        user.env["LAPWING_SYSFS"] = str(build(root, laptop(plugged=True)))
        program = STREAMED
    process = started(user, program, *before)
    assert process.stdout is not None
    if under == "umockdev":
        root = Path(process.stdout.readline().strip())
    assert process.stdout.readline() == "streaming\n"
    pulled_s = time.time()
    build(root, laptop(plugged=False))
    report = ended(process)
    assert report["switched_s"] - pulled_s < 2.0
    assert report["same"]
    assert (report["dtype"], report["power_source"]) == ("int4", "battery")
    assert report["reason"] == "int4: battery 35%"
    assert report["token"] > 20
    assert report["governor"][-1].startswith("battery: int4: battery 35%")


def test_the_first_run_on_battery_says_once_that_there_is_a_governor(
    user: User, tmp_path: Path
) -> None:
    user.env["LAPWING_SYSFS"] = str(build(tmp_path / "root", laptop(plugged=False)))
    first = user.types("run", "tales", "Once upon a time", "-n", "8")
    assert first.code == 0
    assert first.err.count("on battery: --profile auto") == 1
    again = user.types("run", "tales", "Once upon a time", "-n", "8")
    assert "--profile auto" not in again.err
    auto = user.types("run", "tales", "Once upon a time", "-n", "8", "--profile", "auto")
    assert "battery: int4: battery 35%" in auto.err
    quiet = user.types("run", "tales", "Once upon a time", "-n", "8", "--profile", "auto", "-q")
    assert quiet.err == ""
    told = user.types("run", "tales", "Once upon a time", "-n", "8", "--profile", "auto", "--json")
    assert told.json["power_source"] == "battery"
    assert told.json["precision_switches"] == [
        {"token": 0, "dtype": "int4", "reason": "int4: battery 35%"}
    ]


def test_the_variable_is_a_profile_and_options_come_before_it(user: User, tmp_path: Path) -> None:
    user.env["LAPWING_SYSFS"] = str(build(tmp_path / "root", laptop(plugged=False)))
    user.env["LAPWING_PROFILE"] = "auto"
    told = user.types("run", "tales", "Once upon a time", "-n", "4", "--json")
    assert told.json["dtype"] == "int4"
    told = user.types(
        "run", "tales", "Once upon a time", "-n", "4", "--json", "--profile", "observe"
    )
    assert told.json["dtype"] == "int8"
    user.env["LAPWING_PROFILE"] = "eco"
    wrong = user.types("run", "tales", "Once upon a time")
    assert wrong.code == 2
    assert "LAPWING_PROFILE: expected one of auto" in wrong.err


def test_ctrl_c_in_a_pause_ends_an_answer_at_once_and_keeps_it(user: User) -> None:
    process = user.starts("run", "tales", "Once upon a time", "-n", "230", "--power", "1")
    assert process.stdout is not None
    assert process.stdout.read(1)
    time.sleep(0.3)
    began_s = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"(interrupted)" in err
    assert time.perf_counter() - began_s < 2.0  # the interpreter's end is in it


def test_background_work_waits_for_the_plug(user: User, tmp_path: Path) -> None:
    """`lapwing embed --profile background` begins once nothing speaks against it, and says so."""
    sentences = write_sentence_model(user.home / "model", seed=1)
    (user.home / "texts.txt").write_text("the king\n" * 20)
    root = build(tmp_path / "root", laptop(plugged=False))
    user.env["LAPWING_SYSFS"] = str(root)
    process = user.starts(
        "embed", str(sentences), "texts.txt", "-o", "v.npy", "--profile", "background"
    )
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    while "waits" not in line:
        assert line, "it ended without waiting"
        line = process.stderr.readline().decode()
    assert "background: waits: on battery" in line
    assert not (user.home / "v.npy").exists()
    shutil.rmtree(
        root / "sys/class/power_supply"
    )  # a desktop: always plugged, no charge to wait for
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "background: goes on" in err.decode()
    assert np.load(user.home / "v.npy").shape[0] == 20


def test_ctrl_c_while_it_waits(user: User, tmp_path: Path) -> None:
    sentences = write_sentence_model(user.home / "model", seed=1)
    (user.home / "texts.txt").write_text("the king\n" * 20)
    user.env["LAPWING_SYSFS"] = str(build(tmp_path / "root", laptop(plugged=False)))
    process = user.starts(
        "embed", str(sentences), "texts.txt", "-o", "v.npy", "--profile", "background"
    )
    assert process.stderr is not None
    while "waits" not in process.stderr.readline().decode():
        assert process.poll() is None
    began_s = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert time.perf_counter() - began_s < 5.0


HELD = """
import json, os, select, sys, time
import lapwing

def tokens(model):
    return model.generate("Once upon a time", max_tokens=200, ignore_eos=True)

with lapwing.load("tales") as free:
    expected = tokens(free).tokens
with lapwing.load("tales", max_temp=SET_C) as model:
    model.governor.speed, model.governor.watcher.period_s = SPEED, 1 / SPEED
    print(json.dumps({"pid": os.getpid(), "root": os.environ["UMOCKDEV_DIR"]}), flush=True)
    same, duties, answers = True, [], []
    while not select.select([sys.stdin], [], [], 0)[0]:
        answers.append(tokens(model))
        same = same and answers[-1].tokens == expected
        duties.append(model.governor.command.duty)
    print(json.dumps({
        "same": same, "duties": duties, "governor": answers[-1].governor,
        "joules": model.governor.senses.joules.mark().joules,
    }))
""".replace("SET_C", str(SET_C)).replace("SPEED", str(SPEED))


def on_cpu_s(pid: int) -> float:
    """What its main thread has had of a processor."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


@needs_umockdev
@linux_alone
def test_a_plants_temperature_is_held_over_real_files(user: User, tmp_path: Path) -> None:
    """A laptop's two thermal masses in fast motion, warmed by what the real engine works.

    The energy counter starts 4 J before it wraps.
    """
    first = laptop(plugged=True, millidegrees=25_000, energy_uj=RANGE_UJ - 4_000_000)
    (user.home / "laptop.umockdev").write_text(umockdev(first))
    process = started(user, HELD, "umockdev-run", "--device=laptop.umockdev", "--")
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    root = Path(told["root"])
    heat = root / "sys/class/hwmon/hwmon0/temp1_input"
    counter = root / "sys/class/powercap/intel-rapl:0/energy_uj"
    # So strong that it gets too hot even where others leave this process half of a processor.
    plant, thermometer = Laptop(replace(U15, work_w=60.0)), Thermometer()
    seen: list[float] = []
    energy_uj = RANGE_UJ - 4_000_000
    began_s = last_s = time.perf_counter()
    worked_s = on_cpu_s(told["pid"])
    while time.perf_counter() - began_s < HELD_S:
        time.sleep(1 / SPEED)
        now_s, now_worked_s = time.perf_counter(), on_cpu_s(told["pid"])
        share = min((now_worked_s - worked_s) / (now_s - last_s), 1.0)
        for _ in range(max(round((now_s - last_s) * SPEED), 1)):
            joules = plant.joules
            plant.second(max(share, 0.01))
            energy_uj = (energy_uj + round(1e6 * (plant.joules - joules))) % RANGE_UJ
        last_s, worked_s = now_s, now_worked_s
        shown = thermometer.read(plant.chip_c)
        for path, value in ((heat, round(1000 * shown)), (counter, energy_uj)):
            draft = path.with_suffix(".draft")
            draft.write_text(f"{value}\n")
            draft.replace(path)  # never half a number
        seen.append(plant.chip_c)
    report = ended(process)
    held = seen[len(seen) // 2 :]
    print(f"mean {statistics.fmean(held):.2f} °C, max {max(seen):.1f} °C, "
          f"duty {min(report['duties']):.2f} to {max(report['duties']):.2f}, "
          f"{report['joules']} J")  # fmt: skip
    assert report["same"]  # pauses change no token
    assert statistics.fmean(held) == pytest.approx(SET_C, abs=1.5)
    # 3 °C is the law's (test_governor_gates.py); this plant is twice as strong as its gains are
    # made for, and a look that comes 30 ms late is two seconds late.
    assert max(seen) <= SET_C + 8.0
    assert min(report["duties"]) < 0.9
    assert any("°C" in note for note in report["governor"])
    assert report["joules"] == pytest.approx(plant.joules, rel=0.25)  # across the wrap
