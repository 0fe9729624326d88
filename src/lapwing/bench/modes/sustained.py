"""`sustained`: one configuration without a pause for minutes: what heat does to speed.

The timeline has a point every few seconds: tokens (or texts) a second, temperature, clock. The
sustained ratio is the rate of the last minute over that of the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from statistics import median
from typing import Any

from lapwing.bench.contestant import Contestant
from lapwing.bench.measure.energy import Thermometer
from lapwing.bench.record import Record, fill_times
from lapwing.bench.rounds import Measured, Sample, warm_up
from lapwing.bench.session import Session
from lapwing.power.sensors import Sensors

POINT_S, QUICK_POINT_S = 5.0, 0.2
MINUTE_S = 60.0


def run(session: Session) -> None:
    """Configurations one after the other, each for so many minutes."""
    request = session.request
    for number, configuration in enumerate(request.configurations):
        with Contestant(request, configuration) as one:
            record = session.record(configuration, one.facts)
            record.n_prompt, record.input = one.described["n_prompt"], one.described["input"]
            measured = Measured()
            warm_up(one, request.rules, measured)
            sustain(session, one, record, measured, number)
        if session.results.interrupted:
            return


def sustain(
    session: Session,
    one: Contestant,
    record: Record,
    measured: Measured,
    number: int,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Runs it, and fills the row."""
    request, sensors = session.request, session.sensors
    whole_s = MINUTE_S * request.minutes
    point_s = min(QUICK_POINT_S if request.quick else POINT_S, whole_s / 4)
    thermometer, timeline = Thermometer(sensors, clock), list[dict[str, Any]]()
    throttled_before = throttled_s(sensors)
    units = record.n_batch * (record.n_gen or 1)
    began_s = clock()
    try:
        while clock() - began_s < whole_s:
            runs: list[Sample] = one.turn(point_s)
            measured.turns.append(runs)
            seconds = [run.get("tpot_s") or run["seconds"] for run in runs]
            per_run = record.n_batch if runs[0].get("tpot_s") else units
            timeline.append(
                {
                    "time_s": clock() - began_s,
                    "rate": per_run / median(seconds),
                    "temperature_c": thermometer.look(now=True),
                    "frequency_mhz": clock_mhz(sensors),
                }
            )
            session.watcher.work(
                number * whole_s + clock() - began_s, whole_s * len(request.configurations)
            )
    except KeyboardInterrupt:
        session.results.interrupted = True
    fill_times(record, measured)
    heat = thermometer.heat()
    record.stable = None
    record.reasons["stable"] = "drift is what is measured here"
    if heat.start_c is None:
        record.reasons["temp_c"] = heat.reason or "the sensor gave no value"
    else:
        record.temp_c = {**asdict(heat), "rise_c": heat.rise_c}
    throttled = throttled_s(sensors)
    mhz = [p["frequency_mhz"] for p in timeline if p["frequency_mhz"] is not None]
    record.sustained = {
        "minutes": (clock() - began_s) / MINUTE_S,
        "unit": "texts/s" if record.extra["kind"] == "encoder" else "tokens/s",
        "timeline": timeline,
        "ratio": sustained_ratio(timeline),
        "frequency_mhz_median": median(mhz) if mhz else None,
        "throttled_s": None if None in (throttled, throttled_before)
        else throttled - throttled_before,  # type: ignore[operator]
    }  # fmt: skip
    if record.sustained["ratio"] is None:
        record.reasons["sustained.ratio"] = "it needs two minutes, a first and a last one"
    if record.sustained["throttled_s"] is None:
        record.reasons["sustained.throttled_s"] = sensors.why_not("throttle")
    if not mhz:
        record.reasons["sustained.frequency_mhz_median"] = sensors.why_not("frequency")


def sustained_ratio(timeline: list[dict[str, Any]]) -> float | None:
    """Median rate of the last minute over that of the first; None for less than two minutes."""
    if not timeline or timeline[-1]["time_s"] < 2 * MINUTE_S:
        return None
    end_s = timeline[-1]["time_s"]
    first = [p["rate"] for p in timeline if p["time_s"] <= MINUTE_S]
    last = [p["rate"] for p in timeline if p["time_s"] > end_s - MINUTE_S]
    return median(last) / median(first)


def clock_mhz(sensors: Sensors) -> float | None:
    """Measured; what a guest is told is none."""
    sensor = sensors.first("frequency")
    if sensor is None:
        return None
    reading = sensor.read()
    return reading.value if reading.quality == "measured" else None


def throttled_s(sensors: Sensors) -> float | None:
    """Since boot."""
    for sensor in sensors.of("throttle"):
        if sensor.unit == "s":
            value: float | None = sensor.read().value
            return value
    return None
