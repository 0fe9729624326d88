"""OpenVINO at both of its performance hints: float32, and int8 weights a scale a row."""

from __future__ import annotations

from collections.abc import Sequence
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
)
from lapwing.bench.peers.padding import one_pass, padded

HINTS = ("LATENCY", "THROUGHPUT")
TEXTS = 16  # of an encoder's pass
MOST_REFILLED = 512  # a longer prompt is not computed anew for each sample


class OpenVino(Peer):
    """Graphs of its own operations, written from the checkpoint; caches inside."""

    name = "openvino"
    module = package = "openvino"
    most_weights = 600_000_000

    def build(self) -> str | None:
        import openvino

        return str(openvino.get_version())

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return Quantization("int8 weights", "int8"), Quantization("f32", "f32")

    def settings(self, family: Family, threads: int) -> tuple[str, ...]:
        return HINTS

    def export(self, target: Target, quantization: str) -> None:
        path = _path(target, quantization)
        if not path.exists():
            from lapwing.bench.export.checkpoint import Checkpoint
            from lapwing.bench.export.openvino import write

            write(Checkpoint(target.directory), path, quantization != "f32")

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        import openvino

        from lapwing.bench.export.checkpoint import Checkpoint
        from lapwing.bench.export.graph import matrices_bytes

        path = _path(target, quantization)
        hints = {"PERFORMANCE_HINT": setting, "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(path, "CPU", hints)
        ckpt = Checkpoint(target.directory)
        cache = str(compiled.get_property("KV_CACHE_PRECISION"))
        facts = Facts(
            8 * path.with_suffix(".bin").stat().st_size / target.weights,
            matrices_bytes(ckpt, ckpt.shape, 4 if quantization == "f32" else 1),
            "anonymous",
            kv_bytes_each=1 if "8" in cache else 2 if "16" in cache else 4,
            note=f"cache {cache}, {compiled.get_property('NUM_STREAMS')} streams",
        )
        kind = OpenVinoEncoder if target.family == "bert" else OpenVinoCausal
        return kind(compiled, facts)


def _path(target: Target, quantization: str) -> Path:
    return target.exports / f"openvino-{quantization.split()[0]}" / "model.xml"


class OpenVinoCausal(Runner):
    """One request; its state is the cache."""

    def __init__(self, compiled: Any, facts: Facts) -> None:
        self._request, self.facts = compiled.create_infer_request(), facts
        self._names = {name for each in compiled.inputs for name in each.get_names()}
        self._prompts: Sequence[Ids] = ()
        self._length = 0

    def _pass(self, ids: np.ndarray, keep: Sequence[int]) -> Floats:
        B, S = ids.shape
        positions = np.broadcast_to(np.arange(self._length, self._length + S), (B, S))
        inputs = {
            "ids": ids,
            "positions": np.ascontiguousarray(positions),
            "keep": np.array(keep, np.int64),
            "beam_idx": np.arange(B, dtype=np.int32),
        }
        self._length += S
        known = {name: values for name, values in inputs.items() if name in self._names}
        return self._request.infer(known, share_inputs=True, share_outputs=True)[0]

    def _fresh(self) -> None:
        self._request.reset_state()
        self._length = 0

    def start(self, prompts: Sequence[Ids], more: int) -> None:
        one_pass(prompts)
        self._prompts = prompts
        self._fresh()
        self._pass(np.array(prompts, np.int64), [-1])

    def feed(self, tokens: Ids) -> None:
        self._pass(np.array(tokens, np.int64)[:, None], [0])

    def rewind(self) -> None:
        # A state cannot be cut; a long one grows by the few tokens of each sample.
        if len(self._prompts[0]) <= MOST_REFILLED:
            self.start(self._prompts, 0)

    def prefill(self, ids: Ids) -> None:
        self._fresh()
        self._pass(np.array([ids], np.int64), [-1])

    def generate(self, ids: Ids, n_tokens: int) -> list[int]:
        self._fresh()
        made = [int(self._pass(np.array([ids], np.int64), [-1])[0, 0].argmax())]
        while len(made) < n_tokens:
            made.append(int(self._pass(np.array([made[-1:]], np.int64), [0])[0, 0].argmax()))
        return made

    def logits(self, ids: Ids) -> Floats:
        self._fresh()
        return self._pass(np.array([ids], np.int64), range(len(ids)))[0].copy()


class OpenVinoEncoder(Runner):
    """Texts of like length share a pass; passes go to as many streams as the hint made."""

    def __init__(self, compiled: Any, facts: Facts) -> None:
        import openvino

        self.facts = facts
        self._single = compiled.create_infer_request()
        self._queue = openvino.AsyncInferQueue(compiled)
        self._parts: dict[int, Floats] = {}
        self._queue.set_callback(self._take)

    def _take(self, request: Any, at: int) -> None:
        self._parts[at] = request.get_output_tensor(0).data.copy()

    def embed(self, sequences: Sequence[Ids]) -> Floats:
        passes = list(padded(sequences, TEXTS))
        if len(passes) == 1:
            self._parts = {0: self._single.infer(passes[0][1])[0]}
        else:
            for at, (_, inputs) in enumerate(passes):
                self._queue.start_async(inputs, at)
            self._queue.wait_all()
        result = np.empty((len(sequences), self._parts[0].shape[1]), np.float32)
        for at, (group, _) in enumerate(passes):
            result[group] = self._parts[at]
        return result


PEER = OpenVino()
