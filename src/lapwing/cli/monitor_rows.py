"""A sample in words: one row for each thing that is watched, and why, where it has no value."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lapwing.cli.terminal import counted
from lapwing.power.governor.modes import BELOW_CRITICAL_C
from lapwing.power.governor.settings import Settings
from lapwing.power.governor.step import STALLED
from lapwing.power.governor.temperature import GUARD_C
from lapwing.power.monitor.sample import Line, Sample
from lapwing.power.pacing.status import MAX_AGE_S, Status
from lapwing.units import format_bytes, format_rate, format_reading

NONE = "–"
LOW_CHARGE = Settings().battery_floor
_URGENCIES = {"nominal": 0, "moderate": 1, "heavy": 2, "trapping": 2}


@dataclass(frozen=True)
class Row:
    """name, now, about: words. value: a number that can be drawn over time, between low and high;
    high None: as high as it was seen. urgency: 1: worth a look, 2: critical."""

    name: str
    now: str
    about: str
    value: float | None = None
    low: float = 0.0
    high: float | None = None
    urgency: int = 0


def rows(sample: Sample) -> list[Row]:
    """Sensors, the governor, and whatever runs."""
    return [
        _temperature(sample),
        _clock(sample),
        _power(sample),
        _battery(sample),
        _memory(sample),
        _fan(sample),
        _throttling(sample),
        _governor(sample),
        *_processes(sample),
    ]


def one_line(sample: Sample) -> str:
    """`temperature 71.0 °C  clock 2000 MHz  …`."""
    return "  ".join(f"{row.name} {row.now}" for row in rows(sample))


def printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _row(
    name: str,
    line: Line | None,
    about: list[str],
    missing: str,
    *,
    now: str | None = None,
    low: float = 0.0,
    high: float | None = None,
    urgency: int = 0,
) -> Row:
    """Of one sensor: a value and what it is, or `–` and why."""
    if line is None:
        return Row(name, NONE, printable(missing))
    if line.value is None or line.quality == "unavailable":
        return Row(name, NONE, printable(line.reason or missing))
    if line.quality != "measured":
        about = [f"{line.quality}: {line.reason}" if line.reason else line.quality, *about]
    value = line.value if isinstance(line.value, float) else None
    shown = format_reading(line.value, line.unit) if now is None else now
    return Row(name, printable(shown), printable(" · ".join(about)), value, low, high, urgency)


def _first(sample: Sample, quantity: str) -> tuple[str, Line | None]:
    """The first that has a value, else the first."""
    found = list(sample.of(quantity))
    with_value = ((name, line) for name, line in found if line.value is not None)
    return next(with_value, found[0] if found else ("", None))


def _missing(sample: Sample, quantity: str) -> str:
    return sample.missing.get(quantity, "no such sensor is known on this system")


def _temperature(sample: Sample) -> Row:
    name, line = _first(sample, "temperature")
    limit = None if line is None else line.limit
    about = [name] if limit is None else [f"critical {limit:.0f} °C", name]
    urgency = 0
    if line is not None and limit is not None and isinstance(line.value, float):
        left_c = limit - line.value
        urgency = (left_c <= BELOW_CRITICAL_C) + (left_c <= GUARD_C)
    return _row(
        "temperature",
        line,
        about,
        _missing(sample, "temperature"),
        low=30.0,
        high=limit or 100.0,
        urgency=urgency,
    )


def _clock(sample: Sample) -> Row:
    _, line = _first(sample, "frequency")
    limit = None if line is None else line.limit
    about = ["mean of the CPUs", *([] if limit is None else [f"at most {limit:.0f} MHz"])]
    return _row("clock", line, about, _missing(sample, "frequency"), high=limit)


def _power(sample: Sample) -> Row:
    """The first: of the package where there is one."""
    name, line = next(sample.of("power"), ("", None))
    scope = "" if line is None else f"of the {line.scope}"
    return _row("power", line, [scope, name], _missing(sample, "power"))


def _battery(sample: Sample) -> Row:
    """Charge, where it comes from, and what it gives."""
    _, charge = _first(sample, "charge")
    _, plugged = _first(sample, "plugged")
    _, status = _first(sample, "status")
    _, weak = _first(sample, "undersized")
    about = []
    if plugged is not None and plugged.value is not None:
        about.append("mains" if plugged.value is True else "on battery")
    if status is not None and isinstance(status.value, str):
        about.append(status.value.lower())
    about += [f"{line.value:.1f} W" for line in _given(sample) if isinstance(line.value, float)]
    if weak is not None and weak.value is True:
        about.append("the charger gives less than the machine takes")
    why = _missing(sample, "charge")
    if charge is None and about:
        return Row("battery", NONE, printable(" · ".join([*about, why])))
    value = charge.value if charge is not None and isinstance(charge.value, float) else None
    is_low = value is not None and value < LOW_CHARGE and "on battery" in about
    return _row(
        "battery",
        charge,
        about,
        why,
        now=None if value is None else f"{100 * value:.0f} %",
        high=1.0,
        urgency=int(is_low),
    )


def _given(sample: Sample) -> list[Line]:
    """What batteries give: gauges of the whole machine, beside what the package takes."""
    return [line for name, line in sample.of("power") if name.startswith("battery")]


def _memory(sample: Sample) -> Row:
    _, line = _first(sample, "memory")
    _, stalls = _first(sample, "pressure")
    share = stalls.value if stalls is not None and isinstance(stalls.value, float) else None
    why = _missing(sample, "pressure") if stalls is None else stalls.reason
    pressure = f"pressure {NONE} ({why})" if share is None else f"pressure {100 * share:.0f} %"
    limit = None if line is None else line.limit
    about = [*([] if limit is None else [f"of {format_bytes(limit)}"]), pressure]
    used = line.value if line is not None and isinstance(line.value, float) else None
    row = _row(
        "memory",
        line,
        about,
        "nothing tells how much is used",
        now=None if used is None else format_bytes(used),
        high=limit,
        urgency=int(share is not None and share >= STALLED),
    )
    return row if used is not None else replace(row, about=printable(f"{row.about} · {pressure}"))


def _fan(sample: Sample) -> Row:
    """The fastest."""
    found = [(name, line) for name, line in sample.of("fan") if isinstance(line.value, float)]
    name, line = max(
        found, key=lambda each: float(each[1].value or 0.0), default=_first(sample, "fan")
    )
    about = [name] if len(found) < 2 else [name, f"the fastest of {len(found)}"]
    return _row("fan", line, about, _missing(sample, "fan"))


def _throttling(sample: Sample) -> Row:
    level = sample.observation.thermal_pressure
    name, line = _first(sample, "throttle")
    if line is None or line.value is None:
        return _row("throttling", line, [], _missing(sample, "throttle"))
    counts = isinstance(line.value, float)
    about = f"{name}: {line.value:.0f} since boot" if counts else name
    if level is None:
        why = (
            "whether it counts now, the next look will tell" if counts else f"it says {line.value}"
        )
        return Row("throttling", NONE, printable(f"{why} · {about}"))
    return Row("throttling", level, printable(about), urgency=_URGENCIES[level])


def _governor(sample: Sample) -> Row:
    """What a process without any limits would do."""
    seen = sample.governor
    about = [", ".join(seen.reasons) or "nothing to act on"]
    about.append(f"background work {'may run' if seen.admit else 'would wait'}")
    if seen.shed:
        about.append("caches would shrink")
    return Row(
        "governor",
        f"duty {100 * seen.duty:.0f} %",
        printable(" · ".join([seen.mode, *about])),
        seen.duty,
        high=1.0,
        urgency=int(seen.duty < 1.0),
    )


def _processes(sample: Sample) -> list[Row]:
    if not sample.processes:
        none = f"no running Lapwing has told anything in the last {MAX_AGE_S:.0f} s"
        return [Row("tokens", NONE, none)]
    return [_process(status) for status in sample.processes]


def _process(status: Status) -> Row:
    about = [status.model or "a model without a name", status.mode]
    about.append(f"duty {100 * status.duty:.0f} %")
    about += [] if status.precision is None else [status.precision]
    about += [] if status.threads is None else [f"at most {counted(status.threads, 'thread')}"]
    about += [", ".join(status.reasons)] if status.reasons else []
    return Row(
        f"pid {status.pid}",
        format_rate(status.tokens_per_s),
        printable(" · ".join(about)),
        status.tokens_per_s,
        urgency=int(status.duty < 1.0),
    )
