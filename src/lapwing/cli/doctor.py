"""`lapwing doctor`: what was found here, and how fast it is."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapwing.cli import options
from lapwing.cli.terminal import counted, print_json, table
from lapwing.units import format_bytes, format_rate, format_reading

if TYPE_CHECKING:
    from lapwing.advise.doctor import Diagnosis, Facts
    from lapwing.advise.sensing import SensorReport

Record = Annotated[
    Path | None,
    typer.Option(
        "--record",
        metavar="FILE",
        help="Only write the sensor files, without names and serial numbers, to FILE; --sysfs "
        "reads it.",
        show_default=False,
    ),
]


def command(json: options.Json = False, sysfs: options.Sysfs = None, record: Record = None) -> None:
    """Say what is here, what it can measure, and how fast it is.

    Takes a few seconds. Paste the output into a bug report.
    """
    if record is not None:
        _record(record, sysfs, json)
        return
    from lapwing.advise.doctor import diagnose

    diagnosis = diagnose(sysfs)
    if json:
        print_json(diagnosis)
        return
    rows = [*_facts(diagnosis.facts), *_power(diagnosis.sensors), *_measurements(diagnosis)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    _print_sensors(diagnosis.sensors)
    if diagnosis.advice:
        print(f"\n{diagnosis.advice}")
    print(f"\n{diagnosis.verdict}")


def _record(path: Path, sysfs: str | None, json: bool) -> None:
    from lapwing.advise.sensing import write_recording

    count = write_recording(path, sysfs)
    if json:
        print_json({"recording": path, "files": count})
    else:
        print(f"{path}: {counted(count, 'sensor file')}. Look through it before you give it away.")


def _power(report: SensorReport) -> list[tuple[str, str]]:
    from lapwing.advise.sensing import describe_supply

    return [("power source", describe_supply(report))]


def _print_sensors(report: SensorReport) -> None:
    """What there is, in columns; then what there is not, and why."""
    rows = [("energy", line.name, line.kind, line.scope, line.source) for line in report.energy]
    for line in report.readings:
        reading = line.reading
        value = format_reading(reading.value, reading.unit)
        if line.limit is not None:
            value += f" (limit {format_reading(line.limit, reading.unit)})"
        if reading.quality != "measured":
            value += f" ({reading.quality}: {reading.reason})"
        rows.append((line.quantity, line.name, value, reading.scope, reading.source))
    print(f"\nsensors of {report.root}: {len(rows) or 'none'}")
    if rows:
        print(table(("quantity", "sensor", "now", "of", "source"), rows))
    if report.missing:
        print("\nnot usable:")
    for key, group in groupby(report.missing, lambda m: (m.name, m.reason, m.remedy)):
        name, reason, remedy = key
        print(f"  {name} ({', '.join(missing.quantity for missing in group)}): {reason}")
        if remedy:
            print(f"    {remedy}")


def _facts(facts: Facts) -> list[tuple[str, str]]:
    def listed(names: tuple[str, ...], used: str) -> str:
        return ", ".join(f"{name} (in use)" if name == used else name for name in names) or "none"

    def versions(packages: dict[str, str | None]) -> str:
        return ", ".join(f"{name} {version or '–'}" for name, version in packages.items())

    memory = facts.memory_bytes
    return [
        ("lapwing", facts.version),
        ("python", facts.python),
        ("platform", facts.platform),
        ("processor", facts.cpu or "–"),
        ("cores", f"{facts.cores_physical} physical, {facts.cpus_usable} CPUs usable"),
        ("memory", "–" if memory is None else format_bytes(memory)),
        ("backends", listed(facts.backends, facts.backend)),
        ("instruction sets", listed(facts.isas, facts.isa)),
        ("threads", f"{facts.threads} in decode, {facts.prefill_threads} in prefill"),
        ("", str(facts.threads_measured or "not measured on this machine")),
        ("cache", str(facts.cache_folder or "–")),
        ("hub cache", str(facts.hub_cache_folder)),
        ("packages", versions(facts.packages)),
        ("optional", versions(facts.optional_packages)),
    ]


def _measurements(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    measured, slowdown = diagnosis.measured, diagnosis.reference_slowdown
    bandwidth = measured.read_bytes_per_s
    against = (
        f"{slowdown.of_compiled:.1f}× slower than the compiled core, measured"
        if slowdown.of_compiled is not None
        else f"not measured: {slowdown.of_compiled_missing}"
    )
    rows = [
        ("memory read", "–" if bandwidth is None else f"{bandwidth / 1e9:.1f} GB/s, measured"),
        ("tales int8, cpu", f"decode {format_rate(measured.compiled_tps)}"),
        ("tales int8, reference", f"decode {format_rate(measured.reference_tps)}"),
        ("the reference is", against),
    ]
    if slowdown.of_compiled is None and slowdown.of_memory is not None:
        limit = f"{slowdown.of_memory:.0f}× below what the memory could feed (a physical limit)"
        rows.append(("", limit))
    return rows
