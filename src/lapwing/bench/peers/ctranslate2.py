"""CTranslate2 at float32 and int8, its threads in one batch or in several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lapwing.bench.peers.base import (
    Facts,
    Family,
    Floats,
    Ids,
    Peer,
    Quantization,
    Runner,
    Target,
    Unavailable,
    Workload,
)

TEXTS = 32  # of an encoder's pass
MOST_PROMPT = 512  # each sample of decoding computes its prompt anew
NAMES = {"int8": "int8", "f32": "float32"}


class CTranslate2(Peer):
    """Model folders of its own, filled from the checkpoint."""

    name = "ctranslate2"
    module = package = "ctranslate2"
    most_weights = 600_000_000

    def build(self) -> str | None:
        import ctranslate2

        kinds = ctranslate2.get_supported_compute_types("cpu")
        return f"compute types {', '.join(sorted(kinds))}"

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return Quantization("int8", "int8"), Quantization("f32", "f32")

    def settings(self, family: Family, threads: int) -> tuple[str, ...]:
        """One batch by all threads, or a batch a thread, and what lies between."""
        splits = [n for n in range(1, threads + 1) if threads % n == 0]
        return tuple(f"inter {n} intra {threads // n}" for n in splits)

    def export(self, target: Target, quantization: str) -> None:
        folder = _folder(target, quantization)
        if not (folder / "model.bin").exists():
            from lapwing.bench.export.checkpoint import Checkpoint
            from lapwing.bench.export.ctranslate2 import write

            write(Checkpoint(target.directory), folder, NAMES[quantization])

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        import ctranslate2

        from lapwing.bench.export.checkpoint import Checkpoint
        from lapwing.bench.export.graph import matrices_bytes

        folder, ckpt = _folder(target, quantization), Checkpoint(target.directory)
        _, inter, _, intra = setting.split()
        facts = Facts(
            8 * (folder / "model.bin").stat().st_size / target.weights,
            matrices_bytes(ckpt, ckpt.shape, 1 if quantization == "int8" else 4),
            "anonymous",
            kv_bytes_each=4,
        )
        encoder = target.family == "bert"
        opened = (ctranslate2.Encoder if encoder else ctranslate2.Generator)(
            str(folder),
            device="cpu",
            compute_type=NAMES[quantization],
            inter_threads=int(inter),
            intra_threads=int(intra),
        )
        return (Ct2Encoder if encoder else Ct2Causal)(opened, int(inter), facts)


def _folder(target: Target, quantization: str) -> Path:
    return target.exports / f"ctranslate2-{quantization}"


class Ct2Causal(Runner):
    """It generates whole texts: decoding is what lies between the first token and the last."""

    def __init__(self, generator: Any, inter: int, facts: Facts) -> None:
        self._generator, self._inter, self.facts = generator, inter, facts

    def prepare(self, work: Workload) -> None:
        if work.kind == "decode" and len(work.prompts[0]) > MOST_PROMPT:
            raise Unavailable("each sample would compute the prompt anew")

    def time(self, work: Workload) -> float:
        if work.kind != "decode":
            return super().time(work)
        steps: list[tuple[int, float]] = []

        def note(step: Any) -> bool:
            steps.append((step.step, time.perf_counter()))
            return False

        self._generate(work.prompts, len(work.steps) + 1, note)
        return steps[-1][1] - max(at for step, at in steps if step == 0)

    def _generate(self, prompts: Sequence[Ids], n_tokens: int, callback: Any = None) -> Any:
        from lapwing.bench.export.ctranslate2 import token

        return self._generator.generate_batch(
            [[token(i) for i in prompt] for prompt in prompts],
            max_length=n_tokens,
            min_length=n_tokens,
            max_batch_size=-(-len(prompts) // self._inter),
            include_prompt_in_result=False,
            sampling_topk=1,
            callback=callback,
        )

    def prefill(self, ids: Ids) -> None:
        self._generate([ids], 1)

    def start(self, prompts: Sequence[Ids], more: int) -> None:
        self._generate(prompts, 1)  # the first token of a fresh model

    def generate(self, ids: Ids, n_tokens: int) -> list[int]:
        return list(self._generate([ids], n_tokens)[0].sequences_ids[0])

    def logits(self, ids: Ids) -> Floats:
        return np.array(self._generator.forward_batch([list(ids)]))[0]


class Ct2Encoder(Runner):
    """Texts of like length share a pass; as many passes at once as it has workers."""

    def __init__(self, encoder: Any, inter: int, facts: Facts) -> None:
        self._encoder, self.facts = encoder, facts
        self._pool = ThreadPoolExecutor(inter)

    def embed(self, sequences: Sequence[Ids]) -> Floats:
        order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
        groups = [order[begin : begin + TEXTS] for begin in range(0, len(order), TEXTS)]
        parts = list(
            self._pool.map(lambda group: self._pass([sequences[i] for i in group]), groups)
        )
        result = np.empty((len(sequences), parts[0].shape[1]), np.float32)
        result[order] = np.concatenate(parts)
        return result

    def _pass(self, sequences: Sequence[Ids]) -> Floats:
        ids = [list(sequence) for sequence in sequences]
        types = [[0] * len(sequence) for sequence in ids]
        hidden = np.array(self._encoder.forward_batch(ids, token_type_ids=types).last_hidden_state)
        lengths = np.array([len(sequence) for sequence in ids])
        hidden[np.arange(hidden.shape[1]) >= lengths[:, None]] = 0
        total = hidden.sum(axis=1)
        return total / np.linalg.norm(total, axis=1, keepdims=True)


PEER = CTranslate2()
