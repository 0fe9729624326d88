"""Machines that are folders: how many cores of which kind, and which counts are worth measuring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapwing.backends import topology
from lapwing.backends.topology import CPUS, Topology

Files = dict[str, str]


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def siblings(*cores: str) -> Files:
    """`siblings("0-1", "2")`: CPUs 0 and 1 on one core, 2 alone."""
    return {
        f"{CPUS}/cpu{cpu}/topology/thread_siblings_list": core
        for core in cores
        for cpu in topology._parse_list(core)
    }


def of_each(name: str, values: list[int]) -> Files:
    return {f"{CPUS}/cpu{cpu}/{name}": str(value) for cpu, value in enumerate(values)}


ALDER_LAKE = {  # 4 P-cores of two threads, 8 E-cores
    **siblings("0-1", "2-3", "4-5", "6-7", *map(str, range(8, 16))),
    "sys/devices/cpu_core/cpus": "0-7",
    "sys/devices/cpu_atom/cpus": "8-15",
}
BIG_LITTLE = {  # fast cores last
    **siblings(*map(str, range(8))),
    **of_each("cpu_capacity", [325] * 4 + [870] * 3 + [1024]),
}
SIXTEEN_THREADS = siblings(*(f"{core},{core + 8}" for core in range(8)))
TWO_CORES = siblings("0", "1")


@pytest.mark.parametrize(
    ("files", "cpus", "physical", "default", "candidates"),
    [
        (ALDER_LAKE, 16, 12, 4, (1, 2, 4, 12, 16)),
        (BIG_LITTLE, 8, 8, 4, (1, 2, 4, 8)),
        (SIXTEEN_THREADS, 16, 8, 8, (1, 2, 4, 8, 16)),
        (TWO_CORES, 2, 2, 2, (1, 2)),
        ({}, 4, 4, 4, (1, 2, 4)),  # nothing is told
    ],
)
def test_machines(
    tmp_path: Path,
    files: Files,
    cpus: int,
    physical: int,
    default: int,
    candidates: tuple[int, ...],
) -> None:
    here = topology.read(write(tmp_path, files), range(cpus))
    assert (here.usable, here.physical, here.default) == (cpus, physical, default)
    assert here.candidates == candidates
    assert here.cpus == tuple(range(cpus))


def test_fast_cores_stand_first(tmp_path: Path) -> None:
    here = topology.read(write(tmp_path, BIG_LITTLE), range(8))
    assert here.cores == ((4,), (5,), (6,), (7,), (0,), (1,), (2,), (3,))


@pytest.mark.parametrize(
    ("frequencies", "performance"),
    [
        ([5_000_000] * 2 + [5_300_000] * 2, 4),  # favoured cores are of the same kind
        ([5_100_000] * 2 + [3_300_000] * 2, 2),
    ],
)
def test_kinds_by_frequency(tmp_path: Path, frequencies: list[int], performance: int) -> None:
    files = of_each("cpufreq/cpuinfo_max_freq", frequencies)
    assert topology.read(write(tmp_path, files), range(4)).performance == performance


def test_affinity(tmp_path: Path) -> None:
    root = write(tmp_path, ALDER_LAKE)
    one = topology.read(root, [3])
    assert (one.usable, one.default, one.candidates) == (1, 1, (1,))
    slow = topology.read(root, range(8, 12))  # E-cores alone are of one kind
    assert (slow.performance, slow.candidates) == (4, (1, 2, 4))
    halves = topology.read(root, [0, 2, 8])
    assert (halves.physical, halves.default, halves.candidates) == (3, 2, (1, 2, 3))


def test_nothing_exceeds_the_quota(tmp_path: Path) -> None:
    files = {**SIXTEEN_THREADS, "sys/fs/cgroup/cpu.max": "150000 100000"}
    here = topology.read(write(tmp_path, files), range(16))
    assert (here.quota, here.usable, here.physical, here.default) == (2, 2, 2, 2)
    assert here.candidates == (1, 2)


V1 = "sys/fs/cgroup/cpu/cpu.cfs"


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        ({"sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({f"{V1}_quota_us": "-1", f"{V1}_period_us": "100000"}, None),
        ({f"{V1}_quota_us": "400000", f"{V1}_period_us": "100000"}, 4),
        ({"sys/fs/cgroup/cpu.max": "nonsense"}, None),
        ({"sys/fs/cgroup/cpu.max": "100000 0"}, None),
        ({}, None),
        (
            {
                "proc/self/cgroup": "0::/user.slice/one.scope",
                "sys/fs/cgroup/user.slice/cpu.max": "300000 100000",
                "sys/fs/cgroup/user.slice/one.scope/cpu.max": "max 100000",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/a\n0::/",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "100000",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "50000",
            },
            2,
        ),
        ({"proc/self/cgroup": "0::/../..\nnonsense"}, None),
    ],
)
def test_cgroup_quota(tmp_path: Path, files: Files, cpus: int | None) -> None:
    assert topology.cpu_quota(write(tmp_path, files)) == cpus


@given(st.sets(st.integers(0, 300)))
def test_lists_of_cpus(cpus: set[int]) -> None:
    assert topology._parse_list(topology.format_cpus(cpus)) == cpus


@pytest.mark.parametrize("text", ["", "a", "1-x-", "-1", "0-", ","])
def test_what_is_no_list_is_no_error(text: str) -> None:
    assert topology._parse_list(text) <= {0, 1}


@given(
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=40),
    fast=st.integers(1, 40),
    quota=st.none() | st.integers(1, 200),
)
def test_candidates(widths: list[int], fast: int, quota: int | None) -> None:
    first = [sum(widths[:i]) for i in range(len(widths))]
    cores = tuple(tuple(range(a, a + w)) for a, w in zip(first, widths, strict=True))
    here = Topology(cores, min(fast, len(cores)), quota)
    assert list(here.candidates) == sorted(set(here.candidates))
    assert here.candidates[0] == 1
    assert here.candidates[-1] == here.usable
    assert {here.default, here.physical} <= set(here.candidates)
