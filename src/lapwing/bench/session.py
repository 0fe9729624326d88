"""What every mode stands on: the model made ready, the machine described, rows begun and ended."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import lapwing
from lapwing import backends
from lapwing.bench.configuration import Configuration, Request
from lapwing.bench.contestant import Contestant
from lapwing.bench.record import NO_TEXT, Record
from lapwing.bench.rounds import OnProgress
from lapwing.bench.situation import model_sha256, situation
from lapwing.bench.subject import facts_of
from lapwing.power.sensors import Sensors, discover


def nothing(*_: object) -> None:
    """Whoever does not want to know."""


@dataclass(frozen=True)
class Watcher:
    """Whom a session tells how far it is.

    load: bytes done and in all; work: seconds done and in all; say: what it is at.
    """

    load: Callable[[int, int], None] = nothing
    work: OnProgress = nothing
    say: Callable[[str], None] = nothing


@dataclass
class Results:
    """Of one command. skipped: what was not measured, and why."""

    run_id: str
    records: list[Record] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    interrupted: bool = False


class Session:
    """One command's. `facts` of the loaded model by dtype, as asked for."""

    def __init__(
        self, request: Request, watcher: Watcher | None = None, sensors: Sensors | None = None
    ) -> None:
        self.request, self.watcher = request, watcher or Watcher()
        self.sensors = discover(request.sysfs) if sensors is None else sensors
        self.results = Results(secrets.token_hex(4))
        self.facts: dict[str, dict[str, Any]] = {}
        self.sha256: tuple[str | None, str | None] = None, None
        self.context = situation(self.sensors)

    def make_ready(self) -> None:
        """Fetches and packs what is not here yet, outside of everything that is measured."""
        for dtype in dict.fromkeys(c.dtype for c in self.request.configurations):
            with lapwing.load(
                self.request.model,
                dtype,
                revision=self.request.revision,
                on_progress=self.watcher.load,
            ) as model:
                self.facts[dtype] = facts_of(model)
        self.sha256 = model_sha256(next(iter(self.facts.values()))["directory"])

    @property
    def is_encoder(self) -> bool:
        """Reads whole texts."""
        return bool(next(iter(self.facts.values()))["kind"] == "encoder")

    @contextlib.contextmanager
    def contestants(self, wanted: Sequence[Configuration]) -> Iterator[list[Contestant]]:
        """All of them, alive and ready."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(Contestant(self.request, c)) for c in wanted]

    def record(self, configuration: Configuration, facts: Any = None) -> Record:
        """A row with all but its numbers; it joins the results."""
        request, digest = self.request, self.sha256
        facts = self.facts[configuration.dtype] if facts is None else facts
        record = Record(
            run_id=self.results.run_id,
            mode=request.mode,
            command=request.command(configuration, encoder=facts["kind"] == "encoder"),
            test_time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            model_filename=request.model,
            model_type=facts["model_type"],
            build_commit=self.context.get("revision"),
            build_version=lapwing.__version__,
            cpu_info=self.context.get("cpu"),
            backends=f"{facts['backend']} ({backends.core_flags()})",
            isa=facts["isa"],
            dtype=facts["dtype"],
            requested_dtype=facts["requested_dtype"],
            stored_dtype=facts["stored_dtype"],
            model_size=facts["held_bytes"],
            model_n_params=facts["n_params"],
            model_sha256=digest[0],
            bits_per_weight=facts["bits_per_weight"],
            bytes_per_token=facts["bytes_per_token"],
            n_threads=facts["threads"],
            n_prefill_threads=facts["prefill_threads"],
            n_prompt=configuration.n_prompt,
            n_gen=0 if facts["kind"] == "encoder" else configuration.n_gen,
            n_depth=configuration.n_depth,
            n_batch=configuration.batch,
            power_source=self.context.get("power_source"),
            profile=self.context.get("platform profile"),
            context=self.context,
            rules=request.described(),
        )
        record.extra["load"] = facts["load"]
        record.extra["kind"] = facts["kind"]
        if digest[1] is not None:
            record.reasons["model_sha256"] = digest[1]
        self._say_what_is_missing(record)
        self.results.records.append(record)
        return record

    def _say_what_is_missing(self, record: Record) -> None:
        """Until something is measured; `settle` takes away what was."""
        mode = self.request.mode
        elsewhere = {
            "energy": "energy", "j_per_token": "energy", "sustained": "sustained",
            "temp_c": "sustained", "peak_rss": "memory", "quality": "quality", "load_ms": "load",
            "seconds": "latency",
        }  # fmt: skip
        for name, of in elsewhere.items():
            record.reasons.setdefault(name, f"mode {mode} does not measure it; mode {of} does")
        for name, what in (("power_source", "plugged"), ("profile", "profile")):
            if getattr(record, name) is None:
                record.reasons[name] = self.sensors.why_not(what)  # type: ignore[arg-type]


def settle(record: Record) -> None:
    """A reason stands where there is no value, and only there."""
    for name in list(record.reasons):
        value = getattr(record, name, None)
        if value not in (None, {}, []) and name != "stable":
            del record.reasons[name]
    if record.extra.get("kind") == "encoder":
        for name in ("ttft_ms", "itl_ms", "tpot_ms", "decode_tps", "prefill_tps"):
            if getattr(record, name) is None:
                record.reasons[name] = NO_TEXT
