"""perf's events: read here through one that every kernel counts, since few have power events."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import pytest

from lapwing.power.sensors import perf
from lapwing.power.sensors.perf import FOLDER, PerfCounter, event_config, joules
from lapwing.power.sensors.tree import Recording

SOFTWARE, CPU_CLOCK = 1, 0  # counts nanoseconds
FILES = {
    f"{FOLDER}/type": "12",
    f"{FOLDER}/cpumask": "0",
    f"{FOLDER}/events/energy-pkg": "event=0x02",
    f"{FOLDER}/events/energy-pkg.scale": "2.3283064365386962890625e-10",
    f"{FOLDER}/events/energy-pkg.unit": "Joules",
}


def test_a_counter_counts() -> None:
    try:
        counter = PerfCounter(SOFTWARE, CPU_CLOCK, 0)
    except OSError as error:
        pytest.skip(f"perf is not allowed here: {error}")
    first = counter.count()
    total = sum(range(100_000))
    assert total
    (seconds,) = joules([counter], 1e-9)
    assert first < counter.count()
    assert 0 < seconds < 3600


def test_an_event_that_no_kernel_has() -> None:
    with pytest.raises(OSError, match=r"."):
        PerfCounter(0x7FFFFFFF, 0, 0)


@pytest.mark.parametrize("text", ["", "event=2", "event=0x", "umask=0x02", "event=0x02,umask=1"])
def test_events_that_are_not_understood(text: str) -> None:
    with pytest.raises(ValueError, match="which is not understood"):
        event_config(text)


def test_a_copy_of_sys_has_no_counters() -> None:
    (missing,) = perf.find(Recording(FILES)).missing
    assert missing.reason == "perf counts on this machine, not on recording"


class Own(Recording):
    """As if it were this machine's."""

    def __init__(self, files: dict[str, str]) -> None:
        super().__init__(files)
        self.own = True


@dataclass
class Counter:
    kind: int
    config: int
    cpu: int

    def count(self) -> int:
        return 1 << 32


def test_scale_event_and_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Counter] = []

    def make(*arguments: int) -> Counter:
        made.append(Counter(*arguments))
        return made[-1]

    monkeypatch.setattr(perf, "PerfCounter", make)
    (source,) = perf.find(Own(FILES | {f"{FOLDER}/cpumask": "0,14"})).energy
    assert made == [Counter(12, 2, 0), Counter(12, 2, 14)]
    assert source.read() == (1.0, 1.0)
    assert (source.scope, source.range_j) == ("package", (None, None))


def test_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*arguments: Any) -> Counter:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(perf, "PerfCounter", make)
    (missing,) = perf.find(Own(FILES)).missing
    assert missing.reason == "permission denied"
    assert "perf_event_paranoid" in str(missing.remedy)
    (odd,) = perf.find(Own(FILES | {f"{FOLDER}/events/energy-pkg.unit": "eV"})).missing
    assert odd.reason == "its unit is 'eV', not Joules"


def test_another_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "sparc")
    with pytest.raises(OSError, match="no system call number is known for sparc"):
        PerfCounter(SOFTWARE, CPU_CLOCK, 0)
