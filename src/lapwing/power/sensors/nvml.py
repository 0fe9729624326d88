"""NVIDIA's graphics, through its driver's library and only while they are awake anyway.

Loading NVML wakes a sleeping laptop GPU and polling it keeps it awake, 5 to 25 W; so the kernel's
`runtime_status` is asked first, each time. These sensors are for programs that compute on the GPU;
others should not read them again and again. Facts: docs.nvidia.com/deploy/nvml-api.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

from lapwing.power.sensors.deadline import Deadline
from lapwing.power.sensors.energy import EnergySource
from lapwing.power.sensors.found import Found
from lapwing.power.sensors.reading import Missing
from lapwing.power.sensors.sensor import Sensor, why
from lapwing.power.sensors.tree import NoValueError, Tree, word

PCI = "sys/bus/pci/devices"
NVIDIA, DISPLAY = "0x10de", "0x03"
LIBRARY = "libnvidia-ml.so.1"
START_S = 2.0  # the library's start may take so long
NOT_SUPPORTED = 3
HEAT = 0x20 | 0x40  # of the reasons for lower clocks: software and hardware thermal slowdown
_PLAUSIBLE_W, _PLAUSIBLE_C = (0.0, 1500.0), (0.0, 130.0)


class Nvml:
    """The driver's library; started when first needed."""

    def __init__(self, path: str = LIBRARY) -> None:
        self._library = ctypes.CDLL(path)  # raises OSError where there is none
        self._lock = threading.Lock()
        self._is_started = False

    def read(self, bus_id: str, function: str, *arguments: int) -> int:
        """One value of one GPU. Raises NoValueError with what the library says."""
        with self._lock:
            if not self._is_started:
                _check(self._library.nvmlInit_v2(), "nvmlInit_v2")
                self._is_started = True
            device = ctypes.c_void_p()
            value = ctypes.c_ulonglong()  # answers of 32 bits fill its lower half
            find = self._library.nvmlDeviceGetHandleByPciBusId_v2
            _check(find(bus_id.encode(), ctypes.byref(device)), "nvmlDeviceGetHandleByPciBusId_v2")
            call = getattr(self._library, function)
            code = call(device, *map(ctypes.c_int, arguments), ctypes.byref(value))
            _check(code, function)
            return value.value

    def stop(self) -> None:
        """Lets go of the GPU, so that it may sleep."""
        with self._lock:
            if self._is_started:
                self._library.nvmlShutdown()
                self._is_started = False


def _check(code: int, function: str) -> None:
    if code == NOT_SUPPORTED:
        raise NoValueError("this GPU does not support it")
    if code:
        raise NoValueError(f"{function} says error {code}")


def find(tree: Tree, load: Callable[[], Nvml] = Nvml) -> Found:
    """Power, energy, temperature and slowdown by heat of each NVIDIA GPU, if all are awake."""
    gpus = [f"{PCI}/{name}" for name in tree.names(PCI) if _is_nvidia(tree, f"{PCI}/{name}")]
    if not gpus:
        return Found(missing=(Missing("power", "NVIDIA GPU", PCI, "there is none"),))
    reason = _unusable(tree, gpus)
    if reason is None:
        try:
            library = Deadline(START_S).call(LIBRARY, load)
        except OSError as error:
            reason = f"{LIBRARY} cannot be loaded ({why(error)})"
    if reason is not None:
        return Found(missing=(Missing("power", "NVIDIA GPU", ", ".join(gpus), reason),))
    return sum((_sensors(tree, gpus, gpu, library) for gpu in gpus), Found())


def _is_nvidia(tree: Tree, folder: str) -> bool:
    kind = word(tree, f"{folder}/class")
    return word(tree, f"{folder}/vendor") == NVIDIA and kind.startswith(DISPLAY)


def _unusable(tree: Tree, gpus: list[str]) -> str | None:
    if not tree.own:
        return f"NVML speaks of this machine, not of {tree.label}"
    return None if _are_awake(tree, gpus) else "asleep; NVML would wake it"


def _are_awake(tree: Tree, gpus: list[str]) -> bool:
    """The library's start wakes all of them. Without runtime power management none ever sleeps."""
    states = [word(tree, f"{gpu}/power/runtime_status") for gpu in gpus]
    return all(state in ("active", "unsupported") for state in states)


def _sensors(tree: Tree, gpus: list[str], gpu: str, library: Nvml) -> Found:
    bus_id = gpu.rpartition("/")[2]
    source = f"NVML {bus_id}"

    def read(function: str, *arguments: int) -> int:
        if not _are_awake(tree, gpus):
            library.stop()
            raise NoValueError("asleep; NVML would wake it")
        return library.read(bus_id, function, *arguments)

    def watts() -> float:
        return read("nvmlDeviceGetPowerUsage") / 1e3

    def joules() -> float:
        return read("nvmlDeviceGetTotalEnergyConsumption") / 1e3

    def celsius() -> float:
        return float(read("nvmlDeviceGetTemperature", 0))

    def is_hot() -> bool:
        reasons = read("nvmlDeviceGetCurrentClocksThrottleReasons")
        return bool(reasons & HEAT)

    name = f"NVIDIA {bus_id}"
    power = f"{source} power"
    return Found(
        energy=(  # GPUs before Volta have no counter
            EnergySource(f"{name} energy", f"{source} energy", "gpu", lambda: (joules(),)),
            EnergySource(
                f"{name} power", power, "gpu", lambda: (watts(),), kind="gauge", poll_s=0.1
            ),
        ),
        readings=(
            Sensor("power", f"{name} power", "W", power, "gpu", watts, plausible=_PLAUSIBLE_W),
            Sensor(
                "temperature",
                f"{name} temperature",
                "°C",
                f"{source} temperature",
                "gpu",
                celsius,
                plausible=_PLAUSIBLE_C,
            ),
            Sensor("throttle", f"{name} slowed by heat", "", f"{source} clocks", "gpu", is_hot),
        ),
    )
