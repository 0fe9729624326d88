"""llama.cpp's own `llama-bench`: its clock, its tokens, on the same GGUF files.

Each sample is a process of its own, which loads, warms up and measures once. Its decoding begins
behind as many tokens as the workload's prompt has.
"""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

from lapwing.bench.export import gguf_quantize
from lapwing.bench.export.gguf import size
from lapwing.bench.export.gguf_quantize import binary
from lapwing.bench.peers.base import (
    Facts,
    Family,
    Peer,
    Quantization,
    Runner,
    Target,
    Unavailable,
    Workload,
)
from lapwing.bench.peers.llama_cpp import IN_MAPPING, QUANTIZATIONS

FLASH = {"fa=on": "on", "fa=off": "off"}
TRIES = 12  # a short run of llama-batched-bench at times ends before its log is written
MOST_DEPTH = 512  # each sample computes its depth anew


class Program(Peer):
    """One of llama.cpp's programs, found on PATH or by an environment variable."""

    families = ("gpt2", "llama", "qwen2")
    runner: type[ProgramRunner]

    def describe(self) -> dict[str, str | None]:
        told = subprocess.run([binary(self.name), "--version"], capture_output=True, text=True)
        lines = (told.stdout + told.stderr).strip().splitlines()
        version = lines[0].partition(": ")[2] if lines else None
        return {"version": version, "build": lines[1] if len(lines) > 1 else None}

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return QUANTIZATIONS

    def settings(self, family: Family, threads: int) -> tuple[str, ...]:
        return tuple(FLASH)

    def export(self, target: Target, quantization: str) -> None:
        try:
            size(gguf_quantize.ensure(target, quantization))
        except ImportError:
            raise Unavailable("no module 'gguf' to read GGUF files with") from None

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        path = gguf_quantize.path_of(target, quantization)
        tensors = size(path)
        facts = Facts(
            tensors.bits_per_weight,
            tensors.bytes_per_token,
            "file" if quantization in IN_MAPPING else "anonymous",
            kv_bytes_each=2,
            note="a process of its own for each sample",
            elsewhere=True,
        )
        return self.runner(binary(self.name), path, FLASH[setting], threads, facts)


class ProgramRunner(Runner, ABC):
    """Runs the program once a sample, and reads the last JSON object it prints."""

    def __init__(self, program: Path, model: Path, flash: str, threads: int, facts: Facts) -> None:
        self._program, self.facts = program, facts
        self._common = ["-m", str(model), "-fa", flash, "-t", str(threads)]

    def prepare(self, work: Workload) -> None:
        self.arguments(work)

    @abstractmethod
    def arguments(self, work: Workload) -> list[str]:
        """For that workload. Raises Unavailable where the program has no such thing."""

    def ask(self, work: Workload) -> dict[str, float]:
        """What it measured."""
        command = [str(self._program), *self._common, *self.arguments(work)]
        for _ in range(TRIES):
            done = subprocess.run(command, capture_output=True, text=True)
            objects = [line for line in done.stdout.splitlines() if line.startswith("{")]
            if done.returncode:
                said = done.stderr.strip().splitlines()
                raise Unavailable(f"exit code {done.returncode}: {said[-1] if said else 'no word'}")
            if objects:
                return json.loads(objects[-1])
        raise Unavailable(f"it ended {TRIES} times without a result")


class LlamaBenchRunner(ProgramRunner):
    """`-n` for decoding one sequence, `-p` for prompts."""

    def arguments(self, work: Workload) -> list[str]:
        once = ["-r", "1", "-o", "jsonl"]
        if work.kind == "prefill":
            return [*once, "-p", str(len(work.prompts[0])), "-n", "0"]
        if work.kind != "decode" or len(work.prompts) > 1:
            raise Unavailable("llama-bench runs prompts, and decodes one sequence")
        depth = len(work.prompts[0])
        if depth > MOST_DEPTH:
            raise Unavailable(f"each sample would compute {depth} tokens anew")
        return [*once, "-p", "0", "-n", str(len(work.steps)), "-d", str(depth)]

    def time(self, work: Workload) -> float:
        return self.ask(work)["avg_ns"] / 1e9


class LlamaBench(Program):
    """The figures that llama.cpp's users quote."""

    name = "llama-bench"
    kinds = ("decode", "prefill")
    runner = LlamaBenchRunner


PEER = LlamaBench()
