"""NVML, by a library of our own that counts who wakes the GPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import pytest

from lapwing.power.sensors import discover, nvml
from lapwing.power.sensors.nvml import PCI, Nvml
from lapwing.power.sensors.tree import Recording

GPU = f"{PCI}/0000:01:00.0"
STATUS = f"{GPU}/power/runtime_status"
FILES = {
    f"{GPU}/vendor": "0x10de",
    f"{GPU}/class": "0x030000",
    STATUS: "active",
    f"{PCI}/0000:01:00.1/vendor": "0x10de",  # its audio is no GPU
    f"{PCI}/0000:01:00.1/class": "0x040300",
}
SOURCE = """
#include <string.h>
int started, stopped;
int nvmlInit_v2(void) { started++; return 0; }
int nvmlShutdown(void) { stopped++; return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *id, void **device) {
  *device = &started;
  return strcmp(id, "0000:01:00.0") ? 6 : 0;
}
int nvmlDeviceGetPowerUsage(void *d, unsigned *mw) { *mw = 14250; return d == &started ? 0 : 1; }
int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *mj) { return 3; }
int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *c) { *c = 66; return sensor; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *d, unsigned long long *r) {
  *r = 0x24;
  return 0;
}
"""


class Own(Recording):
    """As if it were this machine's."""

    def __init__(self, files: dict[str, str]) -> None:
        super().__init__(files)
        self.own = True


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a library with")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(SOURCE)
    path = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", path, folder / "nvml.c"], check=True)
    return str(path)


def test_an_awake_gpu(library: str) -> None:
    tree = Own(FILES)
    found = nvml.find(tree, lambda: Nvml(library))
    now = {sensor.name: sensor.read() for sensor in found.readings}
    assert {name: reading.value for name, reading in now.items()} == {
        "NVIDIA 0000:01:00.0 power": 14.25,
        "NVIDIA 0000:01:00.0 temperature": 66.0,
        "NVIDIA 0000:01:00.0 slowed by heat": True,
    }
    counter, gauge = found.energy
    assert gauge.read() == (14.25,)
    with pytest.raises(ValueError, match="this GPU does not support it"):
        counter.read()
    counts = ctypes.CDLL(library)
    assert ctypes.c_int.in_dll(counts, "started").value == 1
    tree.files[STATUS] = "suspended"
    assert found.readings[0].read().reason == "asleep; NVML would wake it"
    assert ctypes.c_int.in_dll(counts, "stopped").value == 1, "it may sleep"
    assert ctypes.c_int.in_dll(counts, "started").value == 1, "nobody woke it"


@pytest.mark.parametrize("status", ["suspended", "suspending", "resuming", ""])
def test_a_sleeping_gpu_is_left_alone(status: str) -> None:
    def load() -> Nvml:
        raise AssertionError("the library was loaded")

    found = nvml.find(Own(FILES | {STATUS: status}), load)
    assert [m.reason for m in found.missing] == ["asleep; NVML would wake it"]


def test_one_sleeping_gpu_keeps_the_others_unread() -> None:
    other = {path.replace("01:00.0", "02:00.0"): text for path, text in FILES.items()}
    found = nvml.find(Own(FILES | other | {STATUS: "suspended"}))
    assert found.readings == ()


def test_no_library_and_no_gpu() -> None:
    def load() -> Nvml:
        return Nvml("libnvidia-ml-that-is-not-there.so.1")

    (missing,) = nvml.find(Own(FILES), load).missing
    assert missing.reason.startswith("libnvidia-ml.so.1 cannot be loaded")
    (none,) = nvml.find(Own({})).missing
    assert none.reason == "there is none"


def test_a_copy_of_sys_is_not_asked() -> None:
    assert "NVML speaks of this machine, not of recording" in discover(Recording(FILES)).why_not(
        "power"
    )
