"""`lapwing doctor` on faked machines: what it finds, what it says is missing, what it records."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from e2e.command import User
from sensor_trees import EVERYTHING, HWMON, LAPTOPS, POWERCAP, build, umockdev


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def test_a_whole_machine(user: User, tmp_path: Path) -> None:
    build(tmp_path / "root", EVERYTHING)
    shown = user.types("doctor", "--sysfs", "root").out
    assert (
        "\npower source           mains, battery 50 %, discharging, 14.0 W, "
        "the charger gives less than the machine takes\n"
    ) in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["energy", "RAPL", "package", "counter", "package"] in [line[:5] for line in lines]
    assert "71.0 °C (limit 100.0 °C)" in shown
    assert "\nnot usable:\n  perf power events (energy): this kernel has no" in shown
    assert shown.splitlines()[-1].endswith(
        "; measures energy (RAPL package) and temperature (coretemp Package id 0)."
    )


def test_json(user: User, tmp_path: Path) -> None:
    build(tmp_path / "root", EVERYTHING)
    user.env["LAPWING_SYSFS"] = str(tmp_path / "root")
    sensors = user.types("doctor", "--json").json["sensors"]
    assert sensors["root"] == str(tmp_path / "root")
    first = sensors["readings"][0]
    assert (first["name"], first["limit"]) == ("coretemp Package id 0", 100.0)
    assert first["reading"]["value"] == 71.0
    assert {"unit", "source", "scope", "quality", "time_s", "reason"} <= first["reading"].keys()
    assert sensors["energy"][0]["name"] == "RAPL package"
    assert all(missing["reason"] for missing in sensors["missing"])


def test_a_machine_that_shows_nothing(user: User, tmp_path: Path) -> None:
    build(tmp_path / "root", {"proc/version": "Linux"})
    shown = user.types("doctor", "--sysfs", "root").out
    assert "\npower source           unknown: the kernel shows no power supply" in shown
    assert "\nsensors of root: none\n" in shown
    assert shown.splitlines()[-1].endswith("; cannot measure energy or temperature.")


def test_a_fifo_does_not_hang_it(user: User, tmp_path: Path) -> None:
    build(tmp_path / "root", EVERYTHING)
    for path in (f"{HWMON}/hwmon3/temp1_input", f"{POWERCAP}/intel-rapl:0/energy_uj"):
        (tmp_path / "root" / path).unlink()
        os.mkfifo(tmp_path / "root" / path)
    shown = user.types("doctor", "--sysfs", "root").out
    assert "– (limit 100.0 °C) (unavailable: did not answer within 200 ms)" in shown
    assert "  RAPL package (energy): did not answer within 200 ms\n" in shown


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not read")
def test_how_rapl_is_made_readable(user: User) -> None:
    """As on most machines: root alone may read the counters."""
    program = (
        "import os, sys; from lapwing.advise.sensing import look; os.seteuid(65534)\n"
        "for m in look(sys.argv[1]).missing: print(m.name, m.reason, m.remedy)"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for their owner alone
        Path(folder).chmod(0o755)
        for file in build(Path(folder) / "root", EVERYTHING).rglob("energy_uj"):
            file.chmod(0o400)
        shown = subprocess.run(
            [sys.executable, "-c", program, f"{folder}/root"],
            env=user.environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert "RAPL package permission denied sudo groupadd --force --system energy" in shown
    assert "CVE-2020-8694" in shown


def test_record_and_replay(user: User, tmp_path: Path) -> None:
    build(tmp_path / "root", EVERYTHING)
    recorded = user.types("doctor", "--sysfs", "root", "--record", "mine.json")
    assert recorded.code == 0
    assert recorded.out.startswith("mine.json: ")
    assert "sensor files. Look through it before you give it away." in recorded.out
    real = user.types("doctor", "--sysfs", "root", "--json").json["sensors"]
    replayed = user.types("doctor", "--sysfs", "mine.json", "--json").json["sensors"]
    for report in (real, replayed):
        for line in report["readings"]:
            del line["reading"]["time_s"]
    assert replayed["readings"] == real["readings"]
    assert replayed["energy"] == real["energy"]


def test_recording_does_not_overwrite(user: User, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("precious")
    refused = user.types("doctor", "--record", "mine.json")
    assert refused.code == 4
    assert refused.err == (
        "error: mine.json: is there already. Delete it, or choose another name.\n"
    )
    assert (tmp_path / "mine.json").read_text() == "precious"
    assert user.types("doctor", "--record", "nowhere/mine.json").code == 4


def test_this_machine_can_be_recorded(user: User) -> None:
    told = user.types("doctor", "--record", "mine.json", "--json").json
    assert told["recording"] == "mine.json"
    assert user.types("doctor", "--sysfs", "mine.json", "--json").code == 0


def test_roots_that_are_none(user: User, tmp_path: Path) -> None:
    missing = user.types("doctor", "--sysfs", "nothing")
    assert missing.code == 2
    assert missing.err.startswith("error: nothing: expected a folder that holds sys")
    (tmp_path / "text").write_text("hello")
    other = user.types("doctor", "--sysfs", "text")
    assert other.code == 4
    assert other.err.startswith("error: text: expected a recording of sensors")
    user.env["LAPWING_SYSFS"] = "nothing"
    assert user.types("doctor").code == 2


needs_umockdev = pytest.mark.skipif(
    shutil.which("umockdev-run") is None, reason="umockdev is not installed (apt install umockdev)"
)


@needs_umockdev
@pytest.mark.parametrize("name", [n for n in LAPTOPS if "container" not in n])
def test_laptops_under_umockdev(user: User, tmp_path: Path, name: str) -> None:
    """The real paths of /sys, and devices behind links, as the kernel has them."""
    laptop = LAPTOPS[name]
    (tmp_path / "laptop.umockdev").write_text(umockdev(laptop.files))
    program = (
        "import json; from lapwing.power.sensors import discover; s = discover();"
        "print(json.dumps({n: r.value for n, r in s.read().items()}))"
    )
    told = subprocess.run(
        ["umockdev-run", "--device=laptop.umockdev", "--", sys.executable, "-c", program],
        env=user.environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0, told.stderr
    now = json.loads(told.stdout)
    assert now.get("charger") is laptop.plugged
    assert now.get("weak charger") is laptop.is_undersized
    assert now.get("battery charge") == pytest.approx(laptop.charge)
    assert now.get("battery discharge") == pytest.approx(laptop.discharge_w)


@needs_umockdev
def test_a_whole_machine_under_umockdev(user: User, tmp_path: Path) -> None:
    (tmp_path / "laptop.umockdev").write_text(umockdev(EVERYTHING))
    told = subprocess.run(
        [
            *("umockdev-run", "--device=laptop.umockdev", "--"),
            *(sys.executable, "-m", "lapwing", "doctor"),
        ],
        env=user.environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert told.returncode == 0, told.stderr
    assert "\nsensors of /: " in told.stdout
    assert "RAPL package" in told.stdout
    assert "71.0 °C (limit 100.0 °C)" in told.stdout
