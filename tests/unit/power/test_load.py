"""The load of others, from faked ticks, and on Linux from a process that is really busy."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_trees import build

from lapwing.power.sensors import load
from lapwing.power.sensors.load import STAT, OtherLoad
from lapwing.power.sensors.tree import Disk, Recording

IDLE_S = 1000


class Machine:
    """Two CPUs: what they did so far, in seconds."""

    def __init__(self) -> None:
        self.tree = Recording({})
        self.tree.own = True
        self.now_s = self.own_s = 0.0
        self.ticks = [0.0] * 8
        self.ticks[3] = IDLE_S * 100.0
        self.load = OtherLoad(self.tree, lambda: self.now_s, lambda: self.own_s)
        self.spend(0.0, 0.0)

    def spend(self, seconds: float, own_s: float, **others_s: float) -> None:
        """So much time on both CPUs; what nobody had is idle."""
        names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        self.now_s += seconds
        self.own_s += own_s
        self.ticks[0] += own_s * 100
        for name, spent_s in others_s.items():
            self.ticks[names.index(name)] += spent_s * 100
        self.ticks[3] += (2 * seconds - own_s - sum(others_s.values())) * 100
        numbers = " ".join(str(round(ticks)) for ticks in self.ticks)
        self.tree.files[STAT] = f"cpu  {numbers} 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 12345\n"


def test_others_and_not_us() -> None:
    machine = Machine()
    assert machine.load.read() is None
    assert machine.load.reason == "it takes two readings"
    machine.spend(1.0, own_s=1.2, user=0.4)
    assert machine.load.read() == pytest.approx(0.2)
    assert machine.load.reason is None
    machine.spend(10.0, own_s=0.0, nice=1.0, system=2.0, irq=0.5, softirq=0.5)
    assert machine.load.read() == pytest.approx(0.2)
    machine.spend(2.0, own_s=2.0, iowait=1.0, steal=1.0)  # waiting, or somebody else's machine
    assert machine.load.read() == pytest.approx(0.0)


def test_too_soon() -> None:
    """A few ticks say nothing: the reading before is said again, and its time goes on."""
    machine = Machine()
    machine.load.read()
    machine.spend(0.1, own_s=0.0, user=0.2)
    assert machine.load.read() is None
    machine.spend(0.9, own_s=0.0, user=0.2)
    assert machine.load.read() == pytest.approx(0.2)
    machine.spend(0.1, own_s=0.0, user=0.2)
    assert machine.load.read() == pytest.approx(0.2)
    machine.spend(0.9, own_s=0.0)
    assert machine.load.read() == pytest.approx(0.1)


def test_ticks_that_go_back() -> None:
    machine = Machine()
    machine.load.read()
    machine.ticks[3] -= 50_000  # a CPU was taken away
    machine.spend(1.0, own_s=0.0, user=1.0)
    assert machine.load.read() is None
    machine.spend(1.0, own_s=0.0, user=1.0)
    assert machine.load.read() == pytest.approx(0.5)


@given(st.lists(st.tuples(st.floats(0.3, 5), st.floats(0, 1), st.floats(0, 1)), max_size=10))
def test_what_was_spent_comes_back(spans: list[tuple[float, float, float]]) -> None:
    """To the tick: busy and idle are rounded, and each at both ends."""
    machine = Machine()
    machine.load.read()
    for seconds, others, own in spans:
        spent_s = 2 * seconds * others
        machine.spend(seconds, own_s=(2 * seconds - spent_s) * own, user=spent_s)
        share = machine.load.read()
        assert share is not None
        assert 0.0 <= share <= 1.0
        assert share == pytest.approx(others, abs=4 * 0.01 / (2 * seconds))


@given(st.text() | st.from_regex(r"cpu( [0-9]{1,22}){6,12}", fullmatch=True))
def test_no_text_can_make_it_raise(text: str) -> None:
    machine = Machine()
    machine.load.read()
    machine.tree.files[STAT] = text
    machine.now_s += 1.0
    share = machine.load.read()
    assert machine.load.reason if share is None else 0.0 <= share <= 1.0


def test_systems_without_such_a_file() -> None:
    others = OtherLoad(Recording({}))
    assert others.read() is None
    assert others.reason == "proc/stat: it is not there (any more)"


def test_a_copy_of_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is none of its processes."""
    monkeypatch.setattr(load, "LEAST_S", 0.0)
    own_s = iter([0.0, 100.0])
    others = OtherLoad(
        Disk(build(tmp_path, {STAT: "cpu 0 0 0 0 0 0 0 0 0 0"})), own_s=lambda: next(own_s)
    )
    assert others.read() is None
    build(tmp_path, {STAT: "cpu 50 0 0 50 0 0 0 0 0 0"})
    assert others.read() == pytest.approx(0.5)


BUSY = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/stat")
def test_this_machine() -> None:
    """Another process is seen, this one is not.

    What each got of the CPUs depends on who else runs here: it is asked of the system, which
    counts in ticks.
    """
    others = OtherLoad(Disk())
    child = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        time.sleep(0.3)
        others.read()
        began_s, had_s, own_s = time.monotonic(), _cpu_s(child.pid), time.process_time()
        while time.monotonic() - began_s < 0.7:
            pass  # this process is busy, too
        share, had_s = others.read(), _cpu_s(child.pid) - had_s
        seconds, own_s = time.monotonic() - began_s, time.process_time() - own_s
    finally:
        child.kill()
        child.wait()
    assert share is not None
    all_s = seconds * _cpus()
    assert had_s - 0.1 <= share * all_s <= all_s - own_s + 0.1


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / load._ticks_per_s()


def _cpus() -> int:
    lines = Path("/proc/stat").read_text().splitlines()
    return sum(line.startswith("cpu") for line in lines) - 1
