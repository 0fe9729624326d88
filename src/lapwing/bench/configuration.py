"""What is measured: one model, and ways to run it."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lapwing.bench.rules import Rules

MODES = (
    "latency", "sweep", "frontier", "sustained", "energy", "memory", "load", "embed", "quality",
    "vs",
)  # fmt: skip
N_PROMPT, N_GEN = 128, 64
QUICK_PROMPT, QUICK_GEN = 16, 8


@dataclass(frozen=True)
class Configuration:
    """One way to run a model. n_gen counts for models that continue text, alone."""

    dtype: str = "auto"
    threads: str = "auto"
    n_prompt: int = N_PROMPT
    n_gen: int = N_GEN
    n_depth: int = 0
    batch: int = 1
    load: str = "auto"

    @property
    def label(self) -> str:
        """`int8, 2 threads, 128+64 tokens, depth 512, batch 4`."""
        parts = [self.dtype, f"{self.threads} threads"]
        parts.append(f"{self.n_prompt}+{self.n_gen} tokens")
        parts += [f"depth {self.n_depth}"] if self.n_depth else []
        parts += [f"batch {self.batch}"] if self.batch > 1 else []
        return ", ".join(parts)

    def arguments(self, encoder: bool) -> list[str]:
        """Of the command that measures this alone."""
        found = ["--dtype", self.dtype, "-p", str(self.n_prompt)]
        found += [] if encoder else ["-n", str(self.n_gen)]
        if self.threads != "auto":
            found += ["-t", self.threads]
        if self.n_depth:
            found += ["-d", str(self.n_depth)]
        if self.batch > 1:
            found += ["-b", str(self.batch)]
        return found if self.load == "auto" else [*found, "--load", self.load]


@dataclass(frozen=True)
class Request:
    """What a command asks for. work: a folder for logs and exports."""

    model: str
    mode: str
    configurations: tuple[Configuration, ...]
    work: Path
    rules: Rules = field(default_factory=Rules)
    revision: str | None = None
    text: str | None = None
    text_source: str | None = None
    quick: bool = False
    quality: bool = True
    memory: bool = True
    minutes: float = 15.0
    peers: tuple[str, ...] = ()
    python: str | None = None
    sysfs: str | None = None

    def command(self, configuration: Configuration, *, encoder: bool = False) -> str:
        """What reproduces one row."""
        words = ["lapwing", "bench", self.model]
        if self.mode not in ("latency", "sweep", "frontier"):  # a row of these is one of latency
            words += [self.mode, *self.peers]
        words += configuration.arguments(encoder)
        usual = Rules.quick() if self.quick else Rules()
        for option, value, default in (
            ("-r", self.rules.min_runs, usual.min_runs),
            ("--seconds", self.rules.min_s, usual.min_s),
            ("--cool", self.rules.cool_s, usual.cool_s),
            ("--seed", self.rules.seed, usual.seed),
        ):
            words += [] if value == default else [option, _short(value)]
        words += ["--revision", self.revision] if self.revision else []
        words += ["--text", self.text_source] if self.text_source else []
        words += ["--python", self.python] if self.python else []
        words += ["--minutes", f"{self.minutes:g}"] if self.mode == "sustained" else []
        words += ["--quick"] if self.quick else []
        return shlex.join(words)

    def described(self) -> dict[str, Any]:
        """Of the rules, for the record."""
        return asdict(self.rules)


def _short(value: float) -> str:
    """`1000000`, `0.5`, `30`: as somebody would type it."""
    return str(value) if isinstance(value, int) else f"{value:g}"
