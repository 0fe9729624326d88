"""`lapwing doctor`: what was found here, and how fast it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lapwing.cli import options
from lapwing.cli.terminal import print_json
from lapwing.units import format_bytes, format_rate

if TYPE_CHECKING:
    from lapwing.advise.doctor import Diagnosis, Facts


def command(json: options.Json = False) -> None:
    """Say what is here and how fast it is.

    Takes a few seconds. Paste the output into a bug report.
    """
    from lapwing.advise.doctor import diagnose

    diagnosis = diagnose()
    if json:
        print_json(diagnosis)
        return
    rows = [*_facts(diagnosis.facts), *_measurements(diagnosis)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    if diagnosis.advice:
        print(f"\n{diagnosis.advice}")


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
