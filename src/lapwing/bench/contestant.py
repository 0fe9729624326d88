"""One configuration, alive in a process of its own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from lapwing.bench.configuration import Configuration, Request
from lapwing.bench.measure.client import Worker
from lapwing.bench.measure.sampler import Sampled, Sampler
from lapwing.bench.measure.worker import Unavailable
from lapwing.bench.rounds import Sample
from lapwing.errors import DoesNotFitError, LapwingError, RequestError

ROLE = ("lapwing.bench.subject",)
PYTHON, LIBRARIES, LOADING, PREFILL, DECODE = "python", "libraries", "load", "prefill", "decode"
PHASES = (PYTHON, LIBRARIES, LOADING, PREFILL, DECODE)
_numbers = itertools.count()


class Contestant:
    """Opened and made ready when entered, its process ended when left."""

    def __init__(self, request: Request, configuration: Configuration) -> None:
        self._request, self.configuration = request, configuration
        self.label = configuration.label
        self.worker: Worker | None = None
        self.facts: Mapping[str, Any] = {}
        self.described: Mapping[str, Any] = {}
        self.load_s: float | None = None

    def start(self) -> None:
        """The process, with nothing in it."""
        log = self._request.work / "logs" / f"{next(_numbers)}.log"
        self.worker = Worker(ROLE, log)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Its answer; what went wrong is one of our errors."""
        assert self.worker is not None
        try:
            return self.worker.ask(do, **arguments)
        except Unavailable as error:
            raise as_error(str(error)) from None

    def open(self) -> None:
        """Loads the model."""
        c, request = self.configuration, self._request
        told = self.ask("open", model=request.model, dtype=c.dtype, threads=c.threads,
                        revision=request.revision, load=c.load)  # fmt: skip
        self.facts, self.load_s = told["facts"], told["load_s"]

    def prepare(self, kind: str | None = None) -> None:
        """Ready for `run`."""
        c = self.configuration
        work: dict[str, Any] = {"n_prompt": c.n_prompt, "batch": c.batch}
        if (kind or self.kind) == "generate":
            work |= {"n_gen": c.n_gen, "n_depth": c.n_depth}
        work["text"] = self._request.text
        told = self.ask("prepare", kind=kind or self.kind, **work)
        self.described = told["described"]

    @property
    def kind(self) -> str:
        """Of work that its model does."""
        return "embed" if self.facts["kind"] == "encoder" else "generate"

    def run(self) -> Sample:
        """See rounds.Competitor."""
        return self.ask("run")

    def turn(self, at_least_s: float) -> list[Sample]:
        """See rounds.Competitor."""
        runs: list[Sample] = self.ask("turn", at_least_s=at_least_s)["runs"]
        return runs

    def close(self) -> None:
        """Ends the process."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def __enter__(self) -> Contestant:
        try:
            self.start()
            self.ask("import")  # no part of loading
            self.open()
            self.prepare()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def watch_memory(request: Request, configuration: Configuration) -> tuple[Sampled, dict[str, Any]]:
    """(Memory of a fresh process by phase, what it held by accounting); nothing is timed in it."""
    one = Contestant(request, configuration)
    one.start()
    assert one.worker is not None
    try:
        with Sampler(one.worker.pid) as sampler:
            sampler.phase(PYTHON)
            sampler.phase(LIBRARIES)
            one.ask("import")
            sampler.phase(LOADING)
            one.open()
            sampler.phase(PREFILL)
            room = one.facts["context_length"]
            causal = one.facts["kind"] == "causal"
            one.ask("prefill", tokens=max(1, min(configuration.n_prompt, room // 2)))
            told: dict[str, Any] = {"kv_bytes": None}
            if causal:
                sampler.phase(DECODE)
                told |= one.ask("decode", tokens=configuration.n_gen)
            seen = sampler.stop()
            told["reason"] = sampler.reason
        return seen, {**told, "held_bytes": one.facts["held_bytes"], "load": one.facts["load"]}
    finally:
        one.close()


def as_error(told: str) -> LapwingError:
    """`'RequestError: dtype …'` of a worker as the error that it was there."""
    import lapwing.errors as errors

    name, colon, text = told.partition(": ")
    kind = getattr(errors, name, None)
    if colon and isinstance(kind, type) and issubclass(kind, LapwingError):
        return kind(text)
    if name == "MemoryError" or "signal SIGKILL" in told:
        return DoesNotFitError(f"the process that was measured ran out of memory: {told}")
    return RequestError(f"the process that was measured failed: {told}")
