"""ONNX graphs as ONNX Runtime runs them best: its own fused attention, norms and activations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lapwing.bench.export.checkpoint import Checkpoint, Shape
from lapwing.bench.export.graph import Activation, Array, build, rope_tables

OPSET = 18
FUSED = "com.microsoft"
MOST_POSITIONS = 16384  # of rotary tables


class OnnxOps:
    """Collects nodes; weights go to a file beside the graph as they come."""

    def __init__(self, ckpt: Checkpoint, weights: Path) -> None:
        from onnx import TensorProto, helper

        self._helper, self._proto = helper, TensorProto
        self._shape: Shape = ckpt.shape
        self._causal = ckpt.family != "bert"
        self._file, self._name = weights.open("wb"), weights.name
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._outputs: list[Any] = []
        self.ids, self.positions = "ids", "positions"
        whole = TensorProto.INT64
        self._inputs = [
            helper.make_tensor_value_info(name, whole, ["B", "S"]) for name in ("ids", "positions")
        ]
        if self._causal:
            self._inputs.append(helper.make_tensor_value_info("keep", whole, ["n"]))
            small = TensorProto.INT32
            self._inputs.append(helper.make_tensor_value_info("seqlens", small, ["B"]))
            self._inputs.append(helper.make_tensor_value_info("total", small, []))
        else:
            self._inputs.append(
                helper.make_tensor_value_info("mask", TensorProto.INT32, ["B", "S"])
            )
        self._rope: tuple[str, str] | None = None
        if self._shape.rope_theta is not None:
            tables = rope_tables(ckpt, min(self._shape.context, MOST_POSITIONS))
            self._rope = self._constant(tables[0]), self._constant(tables[1])

    def _op(
        self, kind: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any
    ) -> str:
        names = [f"{kind}.{len(self._nodes)}.{i}" for i in range(outputs)]
        self._nodes.append(
            self._helper.make_node(kind, list(inputs), names, domain=domain, **attributes)
        )
        return names[0]

    def _constant(self, values: np.ndarray) -> str:
        """An initializer; large ones stand in the file."""
        name = f"weight.{len(self._weights)}"
        values = np.ascontiguousarray(values)
        kind = self._helper.np_dtype_to_tensor_dtype(values.dtype)
        if values.nbytes < 1024:
            tensor = self._helper.make_tensor(name, kind, values.shape, values.tobytes(), raw=True)
        else:
            tensor = self._proto(name=name, data_type=kind, dims=values.shape)
            tensor.data_location = self._proto.EXTERNAL
            where = {"location": self._name, "offset": self._file.tell(), "length": values.nbytes}
            for key, value in where.items():
                tensor.external_data.add(key=key, value=str(value))
            self._file.write(values.tobytes())
            self._file.write(bytes(-values.nbytes % 64))
        self._weights.append(tensor)
        return name

    def lookup(self, table: Array, indices: str) -> str:
        return self._op("Gather", self._constant(table), indices)

    def add(self, a: str, b: str) -> str:
        return self._op("Add", a, b)

    def gate(self, a: str, b: str) -> str:
        return self._op("Mul", self._op("QuickGelu", a, domain=FUSED, alpha=1.0), b)

    def linear(
        self, x: str, weight: Array, bias: Array | None, activation: Activation | None = None
    ) -> str:
        y = self._op("MatMul", x, self._constant(weight.T))
        if activation is not None:
            assert bias is not None
            kind = "BiasGelu" if activation == "gelu" else "FastGelu"
            return self._op(kind, y, self._constant(bias), domain=FUSED)
        return y if bias is None else self._op("Add", y, self._constant(bias))

    def layer_norm(self, x: str, weight: Array, bias: Array, eps: float) -> str:
        names = self._constant(weight), self._constant(bias)
        return self._op("LayerNormalization", x, *names, epsilon=eps, axis=-1)

    def rms_norm(self, x: str, weight: Array, eps: float) -> str:
        # A contributed operation that stands in the standard domain.
        return self._op("SimplifiedLayerNormalization", x, self._constant(weight), epsilon=eps,
                        axis=-1)  # fmt: skip

    def attend(self, layer: int, x: str, weight: Array, bias: Array | None) -> str:
        s = self._shape
        if not self._causal:
            assert bias is not None
            names = self._constant(weight.T), self._constant(bias)
            return self._op("Attention", x, *names, "mask", domain=FUSED, num_heads=s.H)
        past = [f"past_{part}.{layer}" for part in "kv"]
        present = [f"present_{part}.{layer}" for part in "kv"]
        for cached, values, length in (
            (past, self._inputs, "P"),
            (present, self._outputs, "T"),
        ):
            values += [
                self._helper.make_tensor_value_info(
                    name, self._proto.FLOAT, ["B", s.Hkv, length, s.Dh]
                )
                for name in cached
            ]
        out = f"attended.{layer}"
        self._nodes.append(
            self._helper.make_node(
                "GroupQueryAttention",
                [
                    self.linear(x, weight, bias),
                    "",
                    "",
                    *past,
                    "seqlens",
                    "total",
                    *(self._rope or ()),
                ],
                [out, *present],
                domain=FUSED,
                num_heads=s.H,
                kv_num_heads=s.Hkv,
                do_rotary=int(self._rope is not None),
            )
        )
        return out

    def head(self, h: str, weight: Array) -> None:
        kept = self._op("Gather", h, "keep", axis=1)
        self._result(self.linear(kept, weight, None), ["B", "n", weight.shape[0]])

    def pool(self, h: str) -> None:
        kind = self._proto.FLOAT
        mask = self._op("Unsqueeze", self._op("Cast", "mask", to=kind), self._axes(-1))
        total = self._op("ReduceSum", self._op("Mul", h, mask), self._axes(1), keepdims=0)
        length = self._op("ReduceL2", total, self._axes(-1), keepdims=1)
        self._result(self._op("Div", total, length), ["B", self._shape.D])

    def _axes(self, axis: int) -> str:
        return self._constant(np.array([axis], np.int64))

    def _result(self, node: str, dims: list[Any]) -> None:
        self._nodes.append(self._helper.make_node("Identity", [node], ["result"]))
        self._outputs.insert(
            0, self._helper.make_tensor_value_info("result", self._proto.FLOAT, dims)
        )

    def save(self, path: Path) -> None:
        """The graph; its weights are written already."""
        helper = self._helper
        self._file.close()
        graph = helper.make_graph(
            self._nodes, path.stem, self._inputs, self._outputs, initializer=self._weights
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        path.write_bytes(
            helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
        )


def write(ckpt: Checkpoint, path: Path) -> None:
    """path: of the graph; weights come to stand beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ops = OnnxOps(ckpt, path.with_suffix(".weights"))
    build(ops, ckpt)
    ops.save(path)
