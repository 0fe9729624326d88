"""llama.cpp's own `llama-batched-bench`: several sequences at once, on the same GGUF files."""

from __future__ import annotations

from lapwing.bench.peers.base import Unavailable, Workload
from lapwing.bench.peers.llama_bench import Program, ProgramRunner

CELLS = 256  # contexts are rounded up to multiples of these a sequence


class BatchedBenchRunner(ProgramRunner):
    """Decoding, as many sequences as the workload has."""

    def arguments(self, work: Workload) -> list[str]:
        if work.kind != "decode" or len(work.prompts) == 1:
            raise Unavailable("llama-batched-bench is for several sequences; llama-bench has one")
        B, prompt, tokens = len(work.prompts), len(work.prompts[0]), len(work.steps)
        context = B * -(-(prompt + tokens) // CELLS) * CELLS
        shape = ["-npp", str(prompt), "-ntg", str(tokens), "-npl", str(B), "-c", str(context)]
        return [*shape, "--output-format", "jsonl"]

    def time(self, work: Workload) -> float:
        return self.ask(work)["t_tg"]


class BatchedBench(Program):
    """The peer of Lapwing's batches."""

    name = "llama-batched-bench"
    kinds = ("decode",)
    runner = BatchedBenchRunner


PEER = BatchedBench()
