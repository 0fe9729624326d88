"""What the harness asks of a runtime. Adapters import theirs inside functions, never at the top."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lapwing.bench.measure.worker import Unavailable

Ids = Sequence[int]
Floats = NDArray[np.float32]
Precision = Literal["f32", "f16", "int8", "int4"]
Kind = Literal["decode", "prefill", "generate", "embed", "load"]
Family = Literal["gpt2", "llama", "qwen2", "bert"]

__all__ = ["Unavailable"]  # which adapters raise


@dataclass(frozen=True)
class Target:
    """A checkpoint, and a folder for what is exported from it."""

    name: str
    family: Family
    directory: Path
    exports: Path
    weights: int  # numbers in all tensors


@dataclass(frozen=True)
class Quantization:
    """A runtime's own name for it, and the precision of Lapwing that it stands beside."""

    name: str
    precision: Precision


@dataclass(frozen=True)
class Workload:
    """One thing to time; the same token ids for everyone.

    decode: after `prompts` (one a sequence) each of `steps` feeds one token a sequence.
    prefill: the first of `prompts`, from nothing to the logits of its last token.
    generate: `n_tokens` greedy ones after the first of `prompts`, prefill included.
    embed: all of `prompts` to one unit vector each.
    at_least_s: of a sample; a shorter run is repeated for that long, and its mean counts.
    """

    name: str
    kind: Kind
    prompts: tuple[tuple[int, ...], ...]
    steps: tuple[tuple[int, ...], ...] = ()
    n_tokens: int = 0
    at_least_s: float = 0.1

    @property
    def units(self) -> int:
        """Tokens (decode, generate, prefill) or texts (embed) that one run of it yields."""
        if self.kind == "decode":
            return len(self.steps) * len(self.prompts)
        if self.kind == "generate":
            return self.n_tokens
        return len(self.prompts[0]) if self.kind == "prefill" else len(self.prompts)

    @property
    def room(self) -> int:
        """Positions that its longest sequence takes."""
        return max(map(len, self.prompts)) + len(self.steps) + self.n_tokens


@dataclass(frozen=True)
class Facts:
    """Of an opened model. None: this runtime does not tell.

    mapping: what kind of memory passes read weights from; decides the floor beside the row.
    elsewhere: processes of its own do the work, and the worker's memory says nothing.
    """

    bits_per_weight: float | None
    bytes_per_token: int | None
    mapping: Literal["file", "anonymous"]
    kv_bytes_each: int  # of one number in the cache
    note: str = ""
    elsewhere: bool = False


class Runner:
    """A model, open at one quantization and one setting.

    `prepare` is not timed; `time` may be called again and again after it. Subclasses offer the
    steps of the workloads they can run, and refuse the others by Unavailable.
    """

    facts: Facts

    def prepare(self, work: Workload) -> None:
        """Brings it to where the clock starts: a prompt in the cache, room for what comes."""
        if work.kind == "decode":
            self.start(work.prompts, len(work.steps))

    def time(self, work: Workload) -> float:
        """Seconds of one run."""
        if work.kind == "decode":
            began_s = time.perf_counter()
            for tokens in work.steps:
                self.feed(tokens)
            took_s = time.perf_counter() - began_s
            self.rewind()
            return took_s
        began_s = time.perf_counter()
        if work.kind == "prefill":
            self.prefill(work.prompts[0])
        elif work.kind == "generate":
            self.generate(work.prompts[0], work.n_tokens)
        else:
            self.embed(work.prompts)
        return time.perf_counter() - began_s

    def start(self, prompts: Sequence[Ids], more: int) -> None:
        """Fresh sequences that hold these prompts, with room for `more` tokens each."""
        raise Unavailable("cannot hold sequences and feed them token by token")

    def feed(self, tokens: Ids) -> None:
        """One more token a sequence, up to its logits."""
        raise Unavailable("cannot be fed token by token")

    def rewind(self) -> None:
        """Back to where `start` ended."""
        raise Unavailable("cannot be fed token by token")

    def prefill(self, ids: Ids) -> None:
        """A fresh sequence, to the logits of its last token."""
        raise Unavailable("no prefill by itself")

    def generate(self, ids: Ids, n_tokens: int) -> list[int]:
        """Greedy tokens after a prompt."""
        raise Unavailable("does not generate")

    def logits(self, ids: Ids) -> Floats:
        """Of every position, [L, V]."""
        raise Unavailable("gives no logits of every position")

    def embed(self, sequences: Sequence[Ids]) -> Floats:
        """Means of hidden states, to unit length, [n, D]."""
        raise Unavailable("does not embed")

    def close(self) -> None:
        """Frees what it holds."""


class Peer(ABC):
    """One runtime, used where it is installed."""

    name: str
    module: str | None = None  # what must be importable
    package: str | None = None  # whose version is told
    imports: tuple[str, ...] = ()  # what a program that uses it imports, if not `module` alone
    kinds: tuple[Kind, ...] = ("decode", "prefill", "generate", "embed", "load")
    families: tuple[Family, ...] = ("gpt2", "llama", "qwen2", "bert")
    most_weights: int | None = None  # larger models do not fit beside the other competitors

    def describe(self) -> dict[str, Any]:
        """{"version", "build"}: what is installed, as it tells of itself. Raises Unavailable."""
        if self.module is not None and importlib.util.find_spec(self.module) is None:
            raise Unavailable(f"not installed: no module {self.module!r} in this interpreter")
        return {"version": self.version(), "build": self.build()}

    def version(self) -> str | None:
        """Of its package; None where it is used without being installed."""
        try:
            return importlib.metadata.version(self.package) if self.package else None
        except importlib.metadata.PackageNotFoundError:
            return None

    def bring_in(self) -> None:
        """Imports what `open` needs, so that loading can be timed without it."""
        for name in self.imports or (self.module,):
            if name is not None:
                importlib.import_module(name)

    def build(self) -> str | None:
        """Flags it was built with, as far as it tells."""
        return None

    @abstractmethod
    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        """Ways it can hold weights of that family."""

    def settings(self, family: Family, threads: int) -> tuple[str, ...]:
        """Each is measured; the best counts."""
        return ("default",)

    def export(self, target: Target, quantization: str) -> None:  # noqa: B027 - most need none
        """Makes what `open` reads, where that is not there yet."""

    @abstractmethod
    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        """Ready to run."""
