"""Laptops made of files, whose counter and thermometer a test moves on."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from lapwing.power.sensors import Sensors, discover


@dataclass
class Laptop:
    """A tree of sensor files with one energy counter and one processor temperature."""

    root: Path
    joules: float
    celsius: float
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self, joules: float = 0.0, degrees: float = 0.0) -> None:
        """What a run costs."""
        with self._lock:
            self.joules += joules
            self.celsius += degrees
            self.write()

    def write(self) -> None:
        """What the files say now."""
        _put(self.root / "sys/class/powercap/intel-rapl:0/energy_uj", round(1e6 * self.joules))
        _put(self.root / "sys/class/hwmon/hwmon0/temp1_input", round(1000 * self.celsius))

    def lose_sensors(self) -> None:
        """As when a driver is unloaded half-way."""
        (self.root / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
        (self.root / "sys/class/hwmon/hwmon0/temp1_input").unlink()

    def sensors(self, *, window_s: float = 10.0, ticks: int = 100) -> Sensors:
        """As found there; windows may be shorter than what is believed of real counters."""
        found = discover(self.root)
        energy = [replace(e, min_s=window_s, min_ticks=ticks, poll_s=0.002) for e in found.energy]
        return replace(found, energy=tuple(energy))


class IdlePower:
    """Something that draws power all the time, in a thread."""

    def __init__(self, laptop: Laptop, watts: float) -> None:
        self._laptop, self._watts = laptop, watts
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        last_s = time.monotonic()
        while not self._stopping.wait(0.002):
            now_s = time.monotonic()
            self._laptop.work(joules=self._watts * (now_s - last_s))
            last_s = now_s

    def __enter__(self) -> IdlePower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()


def counted_laptop(root: Path, start_c: float = 45.0) -> Laptop:
    """Intel's counter of the package, and its coretemp chip."""
    zone, chip = root / "sys/class/powercap/intel-rapl:0", root / "sys/class/hwmon/hwmon0"
    _put(zone / "name", "package-0")
    _put(zone / "max_energy_range_uj", 262143328850)
    _put(chip / "name", "coretemp")
    _put(chip / "temp1_label", "Package id 0")
    _put(chip / "temp1_crit", 100000)
    laptop = Laptop(root, 1000.0, start_c)
    laptop.write()
    return laptop


def _put(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    draft.write_text(f"{value}\n")
    draft.replace(path)  # a reader never meets half a number
