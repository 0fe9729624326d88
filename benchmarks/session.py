"""One run: competitors in their workers, workloads in rounds, rows as results."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.accounting import bounds, bytes_read, floor_of
from benchmarks.measure.floors import FLOORS
from benchmarks.measure.floors import UNITS as UNITS_OF_FLOORS
from benchmarks.measure.rows import Results, Row, Skip
from benchmarks.models import Model, find
from lapwing.bench.measure.client import Worker
from lapwing.bench.measure.interleave import interleaved
from lapwing.bench.measure.memory import Memory
from lapwing.bench.measure.stats import Spread, bootstrap_ratio
from lapwing.bench.peers import peers
from lapwing.bench.peers.base import Facts, Kind, Peer, Precision, Unavailable, Workload

UNITS = {"decode": "token", "prefill": "token", "generate": "token", "embed": "text"}
QUICK_MODELS = ("gpt2-124m", "tales", "minilm")
TRIES, PAUSE_S = 4, 1.0  # of a sample that others disturb
NOTHING = Workload("floor", "prefill", ((0,),))


@dataclass(frozen=True)
class Options:
    """Of the command line."""

    suite: str
    peers: tuple[str, ...] | None  # None: all that are installed
    models: tuple[str, ...] | None
    quantizations: tuple[str, ...] | None
    workloads: tuple[str, ...] | None
    rounds: int
    threads: int
    quick: bool
    seed: int
    work: Path
    pythons: Mapping[str, str]  # peer → interpreter; "" for those not named


@dataclass
class Competitor:
    """A peer at one quantization and one setting, alive in its worker with one model open."""

    peer: Peer
    version: str | None
    quantization: str
    precision: Precision
    setting: str
    worker: Worker
    facts: Facts
    load_s: float
    quality: dict[str, Any] = field(default_factory=dict)
    work: Workload | None = None  # what its worker is prepared for

    disturbed: int = 0  # samples of it that others disturbed, whatever was tried

    def time(self, tries: int) -> float:
        """Seconds of one run of it; repeated while others use the machine."""
        for attempt in range(tries):
            seconds, disturbed = self.worker.time()
            if not disturbed:
                return seconds
            if attempt < tries - 1:
                time.sleep(PAUSE_S)
        self.disturbed += 1
        return seconds

    @property
    def label(self) -> str:
        """For the log."""
        return f"{self.peer.name} {self.quantization} {self.setting}"


class Session:
    """Holds results of one suite; suites call `competitors` and `measure`."""

    def __init__(self, options: Options, results: Results) -> None:
        self.options, self.results = options, results
        self.versions: dict[str, dict[str, Any]] = {FLOORS.name: {"version": None}}
        self._readers: dict[str, Competitor | None] = {}
        for name, peer in peers().items():
            if options.peers is not None and name not in options.peers:
                continue
            try:
                self.versions[name] = self._describe(peer)
            except Unavailable as error:
                self.skip(name, str(error))
        results.context["peers"] = {
            name: told for name, told in self.versions.items() if name != FLOORS.name
        }

    def skip(self, runtime: str, reason: str, **where: str) -> None:
        """Notes what is not measured, once."""
        skip = Skip(runtime, reason, **where)
        if skip not in self.results.skips:
            self.results.skips.append(skip)
            told = " ".join(value for value in where.values() if value)
            say(f"skipped: {runtime} {told}: {reason}")

    def start(self, name: str, label: str = "") -> Worker:
        """A worker of that peer."""
        options = self.options
        python = options.pythons.get(name) or options.pythons.get("") or sys.executable
        if name in ("lapwing", FLOORS.name):
            python = options.pythons.get("lapwing", sys.executable)
        log = options.work / "logs" / f"{name}{label}.log".replace("/", "-").replace(" ", "-")
        environment = {"LAPWING_CACHE": str(options.work / "cache")}
        if name == FLOORS.name:
            environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
        peer = FLOORS if name == FLOORS.name else peers()[name]
        return Worker(
            ("lapwing.bench.peers.handler", type(peer).__module__),
            log,
            python=python,
            environment=environment,
            threads=options.threads,
        )

    def _describe(self, peer: Peer) -> dict[str, Any]:
        worker = self.start(peer.name)
        try:
            return worker.ask("describe")
        finally:
            worker.close()

    def models(self, names: Sequence[str]) -> Iterator[Model]:
        """Those of a suite that were asked for, or all; the ones not at hand are skipped."""
        wanted = self.options.models or (QUICK_MODELS if self.options.quick else names)
        for name in wanted:
            if name not in names:
                self.skip("model", f"this suite has {', '.join(names)}", model=name)
        for name in names:
            if name not in wanted:
                continue
            try:
                yield find(name, self.options.work)
            except Unavailable as error:
                self.skip("model", str(error), model=name)

    def choices(
        self, model: Model, kinds: Sequence[Kind]
    ) -> Iterator[tuple[Peer, str, Precision, str]]:
        """(peer, quantization, precision, setting) that this run asks for, of those kinds."""
        wanted = self.options.quantizations
        for name, peer in peers().items():
            if name not in self.versions or model.family not in peer.families:
                continue
            if not set(kinds) & set(peer.kinds):
                continue
            if peer.most_weights is not None and model.target.weights > peer.most_weights:
                self.skip(
                    name,
                    f"models of more than {peer.most_weights / 1e9:.1f} billion weights are not "
                    "run: they do not fit beside the others",
                    model=model.name,
                )
                continue
            for quantization in peer.quantizations(model.family):
                if wanted is not None and quantization.name not in wanted:
                    continue
                for setting in peer.settings(model.family, self.options.threads):
                    yield peer, quantization.name, quantization.precision, setting

    @contextlib.contextmanager
    def competitors(self, model: Model, kinds: Sequence[Kind]) -> Iterator[list[Competitor]]:
        """All that can open the model; those that cannot are skipped with their reason."""
        found: list[Competitor] = []
        with contextlib.ExitStack() as stack:
            for peer, quantization, precision, setting in self.choices(model, kinds):
                worker = self.start(peer.name, f" {model.name} {quantization} {setting}")
                stack.callback(worker.close)
                try:
                    found.append(self.open(worker, model, peer, quantization, precision, setting))
                    say(f"open: {model.name} {found[-1].label}")
                except Unavailable as error:
                    worker.close()
                    self.skip(peer.name, str(error), model=model.name, quantization=quantization)
            yield found

    def open(
        self,
        worker: Worker,
        model: Model,
        peer: Peer,
        quantization: str,
        precision: Precision,
        setting: str,
    ) -> Competitor:
        """Exports the model where that is needed, and opens it. Raises Unavailable."""
        target = {key: str(value) if isinstance(value, Path) else value
                  for key, value in vars(model.target).items()}  # fmt: skip
        worker.ask("export", target=target, quantization=quantization)
        told = worker.ask("open", target=target, quantization=quantization, setting=setting,
                          threads=self.options.threads)  # fmt: skip
        return Competitor(
            peer,
            self.versions[peer.name]["version"],
            quantization,
            precision,
            setting,
            worker,
            Facts(**told["facts"]),
            told["load_s"],
        )

    def measure(
        self,
        model: Model,
        work: Workload,
        competitors: Sequence[Competitor],
        around: AbstractContextManager[object] | None = None,
    ) -> list[Row]:
        """Rounds of one workload; its rows join the results.

        around: holds while clocks run, and makes the machine busy on purpose.
        """
        if self.options.workloads is not None and work.name not in self.options.workloads:
            return []
        tries = TRIES if around is None else 1
        for each in competitors:
            if work.kind not in each.peer.kinds:
                continue
            self._try(model, work, each, lambda each=each: self._prepare(work, each))
        ready = [each for each in competitors if each.worker.alive and each.work == work]
        floors = self._floors(model, work)
        seconds: dict[str, list[float]] = {each.label: [] for each in [*ready, *floors]}
        with around or nullcontext():
            for _, turn in interleaved([*ready, *floors], self.options.rounds, self.options.seed):
                mine = seconds[turn.label]
                self._try(
                    model, work, turn, lambda turn=turn, mine=mine: mine.append(turn.time(tries))
                )
        speeds = {
            each.quantization: UNITS_OF_FLOORS[each.quantization] / Spread.of(samples).median
            for each in floors
            if (samples := seconds[each.label])
        }
        rows = [
            self._row(model, work, each, seconds[each.label], speeds)
            for each in ready
            if each.worker.alive and seconds[each.label]
        ]
        compare(rows)
        self.results.rows += rows
        for row in sorted(rows, key=lambda row: row.median_s):
            say(describe(row))
        return rows

    def _prepare(self, work: Workload, competitor: Competitor) -> None:
        competitor.work, competitor.disturbed = None, 0
        competitor.worker.ask("prepare", work=dataclasses.asdict(work))
        competitor.work = work

    def _try(
        self, model: Model, work: Workload, competitor: Competitor, do: Callable[[], None]
    ) -> None:
        if not competitor.worker.alive:
            return
        try:
            do()
        except Unavailable as error:
            self.skip(
                competitor.peer.name,
                str(error),
                model=model.name,
                workload=work.name,
                quantization=competitor.quantization,
            )

    def _floors(self, model: Model, work: Workload) -> list[Competitor]:
        """Workers that measure the machine itself, started when first asked for and kept."""
        for bound in bounds(work):
            if bound in self._readers:
                continue
            worker = self.start(FLOORS.name, f" {bound}")
            try:
                reader = self.open(worker, model, FLOORS, bound, "f32", "default")
                self._prepare(NOTHING, reader)
                self._readers[bound] = reader
            except Unavailable as error:
                worker.close()
                self._readers[bound] = None
                self.skip(FLOORS.name, str(error))
        found = (self._readers[bound] for bound in bounds(work))
        return [reader for reader in found if reader is not None]

    def _row(
        self,
        model: Model,
        work: Workload,
        competitor: Competitor,
        seconds: list[float],
        speeds: Mapping[str, float],
    ) -> Row:
        spread, facts, threads = Spread.of(seconds), competitor.facts, self.options.threads
        held = Memory(None, None, None) if facts.elsewhere else competitor.worker.memory()
        nbytes = bytes_read(model, work, facts)
        floor_s, floor = floor_of(model, work, competitor.precision, facts, speeds)
        return Row(
            suite=self.options.suite,
            model=model.name,
            workload=work.name,
            runtime=competitor.peer.name,
            version=competitor.version,
            quantization=competitor.quantization,
            setting=competitor.setting,
            precision=competitor.precision,
            threads=threads,
            unit=UNITS[work.kind],
            units=work.units,
            seconds=seconds,
            median_s=spread.median,
            p5_s=spread.p5,
            p95_s=spread.p95,
            rate=work.units / spread.median,
            bits_per_weight=facts.bits_per_weight,
            bytes_per_token=None if nbytes is None else nbytes / work.units,
            resident_bytes=held.rss_bytes,
            pss_bytes=held.pss_bytes,
            private_bytes=held.private_bytes,
            floor_s=floor_s,
            floor_share=None if floor_s is None else floor_s / spread.median,
            floor=floor,
            **competitor.quality,
            extra={"load_s": competitor.load_s, "note": facts.note}
            | ({"disturbed_samples": competitor.disturbed} if competitor.disturbed else {}),
        )

    def close(self) -> None:
        """Ends workers that were kept."""
        for reader in self._readers.values():
            if reader is not None:
                reader.worker.close()


def compare(rows: Sequence[Row]) -> None:
    """Puts the ratio to Lapwing at the same precision beside every row of one workload."""
    ours = {row.precision: row for row in rows if row.runtime == "lapwing"}
    for row in rows:
        if row.runtime != "lapwing" and row.precision in ours:
            ratio = bootstrap_ratio(row.seconds, ours[row.precision].seconds)
            row.ratio, row.ratio_low, row.ratio_high = ratio.value, ratio.low, ratio.high


def describe(row: Row) -> str:
    """One line for the log."""
    name = f"{row.model} {row.workload}: {row.runtime} {row.quantization} {row.setting}"
    text = f"{name:58} {row.rate:9.1f} {row.unit}s/s"
    if row.ratio is not None:
        text += f"  lapwing {row.ratio:.2f} × ({row.ratio_low:.2f}–{row.ratio_high:.2f})"
    if row.floor_share is not None:
        text += f"  {row.floor_share:.0%} of floor"
    return text


def say(text: str) -> None:
    """To the one who waits."""
    print(text, file=sys.stderr, flush=True)
