"""`energy`: joules of a run, of a prefilled and of a decoded token; gross and net.

Three windows of ten seconds at least: idle, runs, idle. Tokens of a prompt and of an answer are
told apart by two such measurements: runs with an answer, and runs with the prompt alone.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from lapwing.bench.configuration import Configuration
from lapwing.bench.contestant import Contestant
from lapwing.bench.measure.energy import EnergyUse, measure_energy
from lapwing.bench.session import Session


def run(session: Session) -> None:
    """One configuration after the other: they would warm each other up."""
    total = float(len(session.request.configurations))
    for number, configuration in enumerate(session.request.configurations):
        add_energy(session, configuration)
        session.watcher.work(number + 1.0, total)


def add_energy(session: Session, configuration: Configuration) -> None:
    """One row."""
    record = session.record(configuration)
    whole = _use(session, configuration)
    told: dict[str, Any] = whole.to_dict()
    told |= {"j_per_prefill_token": None, "j_per_decode_token": None}
    joules = whole.per_run_j()
    encoder = record.extra["kind"] == "encoder"
    tokens = record.n_batch * (record.n_prompt + record.n_gen)
    if joules is None:
        record.reasons["energy"] = whole.gross.reason or "no source"
        record.reasons["j_per_token"] = record.reasons["energy"]
    else:
        record.energy = told
        record.j_per_token = joules / tokens
        if not encoder and configuration.n_gen > 1:
            prefill = _use(session, replace(configuration, n_gen=1)).per_run_j()
            if prefill is not None:
                told["j_per_prefill_token"] = prefill / (record.n_batch * record.n_prompt)
                more = record.n_batch * (record.n_gen - 1)
                told["j_per_decode_token"] = (joules - prefill) / more
    heat = whole.heat
    if heat.start_c is None:
        record.reasons["temp_c"] = heat.reason or "the sensor gave no value"
    else:
        record.temp_c = {**asdict(heat), "rise_c": heat.rise_c}


def _use(session: Session, configuration: Configuration) -> EnergyUse:
    if session.sensors.energy_source() is None:  # nothing is started for nothing
        return measure_energy(lambda: None, session.sensors)
    with Contestant(session.request, configuration) as one:
        for _ in range(session.request.rules.least_warm_up):
            one.run()
        return measure_energy(one.run, session.sensors, window_s=session.request.rules.energy_s)
