"""ONNX Runtime with all graph optimisations: float32, and its dynamic int8."""

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
    Unavailable,
)
from lapwing.bench.peers.padding import one_pass, padded

TEXTS = {"batches of 8": 8, "batches of 32": 32}  # of an encoder's pass
# As by default, and as its documentation advises where 8-bit products saturate: AVX2 without VNNI.
INT8 = {
    "int8 dynamic": {},
    "int8 per channel": {"per_channel": True, "reduce_range": True},
}
FLOAT = 1  # onnx.TensorProto.FLOAT: what fused operations give, which its quantizer cannot infer


class OnnxRuntime(Peer):
    """Graphs of its own fused operations, written from the checkpoint."""

    name = "onnxruntime"
    module = package = "onnxruntime"
    most_weights = 600_000_000

    def build(self) -> str | None:
        import onnxruntime

        return str(onnxruntime.get_build_info()).removeprefix("ORT Build Info: ")

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return (*(Quantization(name, "int8") for name in INT8), Quantization("f32", "f32"))

    def settings(self, family: Family, threads: int) -> tuple[str, ...]:
        return tuple(TEXTS) if family == "bert" else ("default",)

    def export(self, target: Target, quantization: str) -> None:
        whole, wanted = _path(target, "f32"), _path(target, quantization)
        if not whole.exists():
            try:
                from lapwing.bench.export.checkpoint import Checkpoint
                from lapwing.bench.export.onnx import write

                write(Checkpoint(target.directory), whole)
            except ImportError:
                raise Unavailable("no module 'onnx' to write graphs with") from None
        if not wanted.exists():
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(
                whole,
                wanted,
                op_types_to_quantize=["MatMul", "Attention"],
                weight_type=QuantType.QInt8,
                **INT8[quantization],
                use_external_data_format=True,
                extra_options={"MatMulConstBOnly": True, "DefaultTensorType": FLOAT},
            )

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        import onnxruntime

        from lapwing.bench.export.checkpoint import Checkpoint
        from lapwing.bench.export.graph import matrices_bytes

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        # Threads wait actively while a pass runs and not after it.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        path = _path(target, quantization)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        ckpt = Checkpoint(target.directory)
        files = sum(part.stat().st_size for part in path.parent.glob(f"{path.stem}.*"))
        facts = Facts(
            8 * files / target.weights,
            matrices_bytes(ckpt, ckpt.shape, 1 if quantization != "f32" else 4),
            "anonymous",
            kv_bytes_each=4,
            note="bits of files: table and head are stored apart",
        )
        if target.family == "bert":
            return OrtEncoder(session, TEXTS[setting], facts)
        return OrtCausal(session, onnxruntime, ckpt.shape, facts)


def _path(target: Target, quantization: str) -> Path:
    folder = target.exports / f"onnx-{quantization.replace(' ', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "model.onnx"


class OrtCausal(Runner):
    """Keys and values stay in buffers that each pass reads and appends to."""

    def __init__(self, session: Any, module: Any, shape: Any, facts: Facts) -> None:
        self._session, self._module, self._shape, self.facts = session, module, shape, facts
        self._buffers: list[Any] = []
        self._sizes = (0, 0)  # sequences, positions
        self._length = self._began = 0

    def _ensure(self, sequences: int, room: int) -> None:
        s, value = self._shape, self._module.OrtValue
        if self._sizes != (sequences, room):
            zeros = (sequences, s.Hkv, room, s.Dh)
            self._buffers = [
                value.ortvalue_from_numpy(np.zeros(zeros, np.float32))
                for _ in range(2 * s.n_layers)
            ]
            self._sizes = (sequences, room)
        self._length = 0

    def _pass(self, ids: np.ndarray, keep: Sequence[int]) -> Floats:
        B, S = ids.shape
        self._length += S
        positions = np.broadcast_to(np.arange(self._length - S, self._length), (B, S))
        inputs = {
            "ids": ids,
            "positions": np.ascontiguousarray(positions),
            "keep": np.array(keep, np.int64),
            "seqlens": np.full(B, self._length - 1, np.int32),
            "total": np.array(self._length, np.int32),
        }
        binding = self._session.io_binding()
        known = {each.name for each in self._session.get_inputs()}
        for name, values in inputs.items():
            if name in known:
                binding.bind_cpu_input(name, values)
        for i, buffer in enumerate(self._buffers):
            layer, part = i // 2, "kv"[i % 2]
            binding.bind_ortvalue_input(f"past_{part}.{layer}", buffer)
            binding.bind_ortvalue_output(f"present_{part}.{layer}", buffer)
        binding.bind_output("result")
        self._session.run_with_iobinding(binding)
        return binding.get_outputs()[-1].numpy()

    def start(self, prompts: Sequence[Ids], more: int) -> None:
        one_pass(prompts)
        self._ensure(len(prompts), len(prompts[0]) + more)
        self._pass(np.array(prompts, np.int64), [-1])
        self._began = self._length

    def feed(self, tokens: Ids) -> None:
        self._pass(np.array(tokens, np.int64)[:, None], [0])

    def rewind(self) -> None:
        self._length = self._began

    def prefill(self, ids: Ids) -> None:
        self._ensure(1, len(ids))
        self._pass(np.array([ids], np.int64), [-1])

    def generate(self, ids: Ids, n_tokens: int) -> list[int]:
        self._ensure(1, len(ids) + n_tokens)
        logits = self._pass(np.array([ids], np.int64), [-1])
        made = [int(logits[0, 0].argmax())]
        while len(made) < n_tokens:
            logits = self._pass(np.array([made[-1:]], np.int64), [0])
            made.append(int(logits[0, 0].argmax()))
        return made

    def logits(self, ids: Ids) -> Floats:
        self._ensure(1, len(ids))
        return self._pass(np.array([ids], np.int64), range(len(ids)))[0]


class OrtEncoder(Runner):
    """Texts of like length share a pass, padded to its longest."""

    def __init__(self, session: Any, texts: int, facts: Facts) -> None:
        self._session, self._texts, self.facts = session, texts, facts

    def embed(self, sequences: Sequence[Ids]) -> Floats:
        parts, order = [], []
        for group, inputs in padded(sequences, self._texts):
            (vectors,) = self._session.run(["result"], inputs)
            parts.append(vectors)
            order += group
        result = np.empty((len(sequences), parts[0].shape[1]), np.float32)
        result[order] = np.concatenate(parts)
        return result


PEER = OnnxRuntime()
