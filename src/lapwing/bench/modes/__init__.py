"""The modes of `lapwing bench`, one file each: a function of a session."""

from __future__ import annotations

import importlib

from lapwing.bench.configuration import MODES, Request
from lapwing.bench.session import Results, Session, Watcher, settle
from lapwing.errors import RequestError
from lapwing.power.sensors import Sensors

HOMES = dict.fromkeys(("latency", "sweep", "frontier", "embed"), "speed")


def measure(
    request: Request, watcher: Watcher | None = None, sensors: Sensors | None = None
) -> Results:
    """Runs one mode. Ctrl-C while something is measured ends it with what there is.

    Raises RequestError for a mode that is none, or that the model has no mathematics for, and what
    `load` raises.
    """
    if request.mode not in MODES:
        raise RequestError(f"mode: expected one of {', '.join(MODES)}; got {request.mode!r}")
    session = Session(request, watcher, sensors)
    session.make_ready()
    home = HOMES.get(request.mode, request.mode)
    try:
        importlib.import_module(f"lapwing.bench.modes.{home}").run(session)
    except KeyboardInterrupt:
        session.results.interrupted = True
    for record in session.results.records:
        record.interrupted = session.results.interrupted
        settle(record)
    return session.results
