"""One look at the machine: from its sensors to what the governor wants to know."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lapwing.power.governor.observation import Observation, PressureLevel
from lapwing.power.pacing.wattmeter import Wattmeter
from lapwing.power.sensors.deadline import Deadline, SensorTimeoutError
from lapwing.power.sensors.discovery import Sensors
from lapwing.power.sensors.reading import Reading
from lapwing.power.sensors.sensor import Clock, Sensor

STALE_S = 5.0
STALLS = "memory pressure (some)"  # the name of its sensor
UNDERSIZED_S = 30.0  # firmware that keeps a charge limit discharges beside a charger, too
_LEVELS: dict[str, PressureLevel] = {
    "nominal": "nominal",
    "moderate": "moderate",
    "heavy": "heavy",
    "trapping": "trapping",
    "sleeping": "trapping",
}
# What a power saver sets: power-profiles-daemon and the firmware's own profile, the energy
# preference of Intel's and AMD's drivers, Windows' battery saver.
_SAVERS = {
    "platform profile": ("low-power", "power-saver"),
    "energy preference": ("power",),
    "battery saver": ("on",),
}


class Look:
    """Finds its sensors once. others: share of the CPUs that other processes take, 0 to 1.

    readings: of the last look, by the sensors' names. stale_s: an older value is none, and neither
    are watts over a longer time.
    """

    def __init__(
        self,
        sensors: Sensors,
        others: Callable[[], float | None] | None = None,
        clock: Clock = time.monotonic,
        stale_s: float = STALE_S,
    ) -> None:
        self.readings: dict[str, Reading[Any]] = {}
        self.wattmeter = Wattmeter(sensors, clock, stale_s)
        self._others, self._clock, self._stale_s = others, clock, stale_s
        self._tree = sensors.tree
        self._together: Deadline | None = Deadline()
        self._heat = [s for s in sensors.of("temperature") if s.scope == "package"]
        self._throttle = next((s for s in sensors.of("throttle") if s.scope != "gpu"), None)
        self._throttled: tuple[float, float] | None = None
        self._fans = sensors.of("fan")
        self._plugged, self._undersized = sensors.first("plugged"), sensors.first("undersized")
        self._undersized_since_s: float | None = None
        self._charge = sensors.first("charge")
        self._savers = [s for s in sensors.of("profile") if s.name in _SAVERS]
        self._stalls = next((s for s in sensors.of("pressure") if s.name == STALLS), None)

    def now(self, also: Callable[[], None] = lambda: None) -> Observation:
        """Reads. What only the engine knows (tokens, joules, who waits) is left as it is.

        also: reads at the same moment. All sensors in one call of another thread, which costs more
        than reading them; once one has not answered in time, each in a call of its own.
        """
        if self._together is not None:
            try:
                return self._together.call("look", lambda: self._now(also))
            except SensorTimeoutError:
                self._together = None
        return self._now(also)

    def _now(self, also: Callable[[], None]) -> Observation:
        with self._tree.once():
            also()
            return self._seen()

    def _seen(self) -> Observation:
        self.readings = {}
        temperature_c, critical_c = self._temperature()
        watts = self.readings[self.wattmeter.name] = self.wattmeter.read()
        return Observation(
            temperature_c=temperature_c,
            critical_c=critical_c,
            thermal_pressure=self._thermal_pressure(),
            watts=self._believed(watts),
            fan_rpm=max((v for s in self._fans if (v := self._value(s)) is not None), default=None),
            on_battery=self._on_battery(),
            charge=self._value(self._charge),
            saver=self._saver(),
            load=None if self._others is None else self._others(),
            memory_pressure=self._value(self._stalls),
        )

    def _value(self, sensor: Sensor[Any] | None) -> Any:
        if sensor is None:
            return None
        reading = self.readings[sensor.name] = sensor.read()
        return self._believed(reading)

    def _believed(self, reading: Reading[Any]) -> Any:
        is_none = reading.quality in ("unavailable", "stuck")
        return None if is_none or reading.age_s(self._clock()) > self._stale_s else reading.value

    def _temperature(self) -> tuple[float | None, float | None]:
        """Of the first of the processor's sensors that has one, and what is critical for it."""
        for sensor in self._heat:
            value = self._value(sensor)
            if value is not None:
                return value, sensor.limit
        return None, self._heat[0].limit if self._heat else None

    def _thermal_pressure(self) -> PressureLevel | None:
        """A level where the system has levels; where it tells no more than that clocks were lowered
        because of heat, that is moderate: some firmware says so all the time."""
        value = self._value(self._throttle)
        if isinstance(value, str):
            return _LEVELS.get(value)
        if isinstance(value, bool):
            return "moderate" if value else "nominal"
        last, now_s = self._throttled, self._clock()
        self._throttled = None if value is None else (now_s, value)
        if last is None or value is None or now_s - last[0] > self._stale_s:
            return None
        return "moderate" if value > last[1] else "nominal"

    def _on_battery(self) -> bool | None:
        """Also where a charger has been too weak for a while."""
        plugged = self._value(self._plugged)
        is_undersized = self._value(self._undersized) if plugged else None
        now_s = self._clock()
        if not is_undersized:
            self._undersized_since_s = None
        elif self._undersized_since_s is None:
            self._undersized_since_s = now_s
        since_s = self._undersized_since_s
        is_weak = since_s is not None and now_s - since_s >= UNDERSIZED_S
        return None if plugged is None else not plugged or is_weak

    def _saver(self) -> bool | None:
        """Whether any of the system's settings says that power is to be saved."""
        told = [(s.name, value) for s in self._savers if (value := self._value(s)) is not None]
        return any(value in _SAVERS[name] for name, value in told) if told else None
