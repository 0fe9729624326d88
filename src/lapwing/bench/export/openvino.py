"""OpenVINO graphs with a cache of their own, float32 or with int8 weights a scale a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lapwing.bench.export.checkpoint import Checkpoint, Shape
from lapwing.bench.export.graph import Activation, Array, build, rope_tables

MOST_POSITIONS = 16384  # of rotary tables
MASKED = np.float32(-1e30)


class OpenVinoOps:
    """Its own operations; shapes stay open in batch and length."""

    def __init__(self, ckpt: Checkpoint, int8: bool) -> None:
        import openvino as ov
        import openvino.opset13 as ops

        self._ov, self._ops, self._int8 = ov, ops, int8
        self._shape: Shape = ckpt.shape
        self._causal = ckpt.family != "bert"
        self._sinks: list[Any] = []
        self._variables: list[Any] = []
        self._result: Any = None
        self.ids, self.positions = self._input("ids", [-1, -1]), self._input("positions", [-1, -1])
        self._parameters = [self.ids, self.positions]
        if self._causal:
            self._keep = self._input("keep", [-1])
            self._beams = self._input("beam_idx", [-1], ov.Type.i32)
            self._parameters += [self._keep, self._beams]
        else:
            self._mask = self._input("mask", [-1, -1], ov.Type.i32)
            self._parameters.append(self._mask)
        self._bias: Any = None  # of attention's scores, once a graph
        self._turn: Any = None
        if self._shape.rope_theta is not None:
            tables = rope_tables(ckpt, min(self._shape.context, MOST_POSITIONS))
            both = [np.concatenate([table, table], axis=-1) for table in tables]
            self._turn = [  # [B, 1, S, Dh]
                ops.unsqueeze(self.lookup(table, self.positions), self._number(1)) for table in both
            ]

    def _input(self, name: str, dims: list[int], kind: Any = None) -> Any:
        node = self._ops.parameter(dims, kind or self._ov.Type.i64, name=name)
        node.output(0).set_names({name})
        return node

    def _number(self, value: int | list[int]) -> Any:
        return self._ops.constant(np.array(value, np.int64))

    def _matrix(self, weight: Array) -> Any:
        if not self._int8:
            return self._ops.constant(np.ascontiguousarray(weight))
        scale = np.abs(weight).max(axis=1, keepdims=True) / 127
        scale[scale == 0] = 1
        whole = self._ops.constant(np.round(weight / scale).astype(np.int8))
        return self._ops.multiply(
            self._ops.convert(whole, "f32"), self._ops.constant(scale.astype(np.float32))
        )

    def lookup(self, table: Array, indices: Any) -> Any:
        return self._ops.gather(
            self._ops.constant(np.ascontiguousarray(table)), indices, self._number(0)
        )

    def add(self, a: Any, b: Any) -> Any:
        return self._ops.add(a, b)

    def gate(self, a: Any, b: Any) -> Any:
        return self._ops.multiply(self._ops.swish(a), b)

    def linear(
        self, x: Any, weight: Array, bias: Array | None, activation: Activation | None = None
    ) -> Any:
        y = self._ops.matmul(x, self._matrix(weight), False, True)
        if bias is not None:
            y = self._ops.add(y, self._ops.constant(bias.reshape(1, 1, -1)))
        if activation is not None:
            y = self._ops.gelu(y, "erf" if activation == "gelu" else "tanh")
        return y

    def layer_norm(self, x: Any, weight: Array, bias: Array, eps: float) -> Any:
        y = self._ops.mvn(x, self._number([-1]), True, eps, "inside_sqrt")
        y = self._ops.multiply(y, self._ops.constant(weight.reshape(1, 1, -1)))
        return self._ops.add(y, self._ops.constant(bias.reshape(1, 1, -1)))

    def rms_norm(self, x: Any, weight: Array, eps: float) -> Any:
        ops = self._ops
        squares = ops.power(x, ops.constant(np.float32(2)))
        mean = ops.reduce_mean(squares, self._number([-1]), True)
        root = ops.sqrt(ops.add(mean, ops.constant(np.float32(eps))))
        y = ops.multiply(x, ops.divide(ops.constant(np.float32(1)), root))
        return ops.multiply(y, ops.constant(weight.reshape(1, 1, -1)))

    def attend(self, layer: int, x: Any, weight: Array, bias: Array | None) -> Any:
        ops, s = self._ops, self._shape
        heads = (s.H, s.Hkv, s.Hkv)
        ends = np.cumsum([n * s.Dh for n in heads])
        parts = []
        for n, end in zip(heads, ends, strict=True):
            rows = slice(end - n * s.Dh, end)
            part = self.linear(x, weight[rows], None if bias is None else bias[rows])
            part = ops.reshape(part, self._number([0, 0, n, s.Dh]), True)
            parts.append(ops.transpose(part, self._number([0, 2, 1, 3])))  # [B, n, S, Dh]
        q, k, v = parts
        if self._turn is not None:
            q, k = self._turned(q), self._turned(k)
        if self._causal:
            k, v = self._remembered(f"k.{layer}", k), self._remembered(f"v.{layer}", v)
        y = ops.scaled_dot_product_attention(q, self._spread(k), self._spread(v), self._scores(k))
        y = ops.transpose(y, self._number([0, 2, 1, 3]))
        return ops.reshape(y, self._number([0, 0, s.H * s.Dh]), True)

    def _turned(self, x: Any) -> Any:
        """Rotary positions on halves."""
        ops, half = self._ops, self._shape.Dh // 2
        cos, sin = self._turn
        first, second = (
            ops.slice(x, *(self._number([n]) for n in (begin, begin + half, 1, 3)))
            for begin in (0, half)
        )
        minus = ops.multiply(second, ops.constant(np.float32(-1)))
        other = ops.concat([minus, first], -1)
        return ops.add(ops.multiply(x, cos), ops.multiply(other, sin))

    def _remembered(self, name: str, new: Any) -> Any:
        """All of a cache after appending, [B, Hkv, T, Dh]."""
        from openvino.op.util import Variable, VariableInfo

        ops, ov, s = self._ops, self._ov, self._shape
        info = VariableInfo()
        info.data_shape = ov.PartialShape([-1, s.Hkv, -1, s.Dh])
        info.data_type, info.variable_id = ov.Type.f32, name
        variable = Variable(info)
        batch = ops.gather(ops.shape_of(self.ids), self._number([0]), self._number(0))
        shape = ops.concat(
            [batch, self._number([s.Hkv]), self._number([0]), self._number([s.Dh])], 0
        )
        nothing = ops.broadcast(ops.constant(np.float32(0)), shape)
        past = ops.gather(ops.read_value(nothing, variable), self._beams, self._number(0))
        whole = ops.concat([past, new], 2)
        self._sinks.append(ops.assign(whole, variable))
        self._variables.append(variable)
        return whole

    def _spread(self, x: Any) -> Any:
        """Heads of a group beside each other, [B, H, T, Dh]."""
        ops, s = self._ops, self._shape
        if s.Hkv == s.H:
            return x
        groups = ops.broadcast(
            ops.unsqueeze(x, self._number(2)),
            self._number([1, 1, s.H // s.Hkv, 1, 1]),
            broadcast_spec="BIDIRECTIONAL",
        )
        return ops.reshape(groups, self._number([0, s.H, -1, s.Dh]), True)

    def _scores(self, k: Any) -> Any:
        """What is added to them: 0 where a token sees another."""
        if self._bias is not None:
            return self._bias
        ops = self._ops
        if self._causal:
            length = ops.gather(ops.shape_of(k), self._number(2), self._number(0))
            all_keys = ops.range(self._number(0), length, self._number(1), "i64")
            rows = ops.unsqueeze(self.positions, self._number([1, 3]))  # [B, 1, S, 1]
            seen = ops.less_equal(all_keys, rows)
        else:
            seen = ops.greater(
                ops.unsqueeze(self._mask, self._number([1, 2])), ops.constant(np.int32(0))
            )
        self._bias = ops.select(seen, ops.constant(np.float32(0)), ops.constant(MASKED))
        return self._bias

    def head(self, h: Any, weight: Array) -> None:
        kept = self._ops.gather(h, self._keep, self._number(1))
        self._result = self.linear(kept, weight, None)

    def pool(self, h: Any) -> None:
        ops = self._ops
        mask = ops.unsqueeze(ops.convert(self._mask, "f32"), self._number(-1))
        total = ops.reduce_sum(ops.multiply(h, mask), self._number([1]), False)
        self._result = ops.normalize_l2(total, self._number([1]), 1e-30, "add")

    def model(self) -> Any:
        """What `compile_model` takes."""
        self._result.output(0).set_names({"result"})
        result = self._ops.result(self._result)
        if not self._causal:
            return self._ov.Model([result], self._parameters, "model")
        return self._ov.Model([result], self._sinks, self._parameters, self._variables, "model")


def write(ckpt: Checkpoint, path: Path, int8: bool) -> None:
    """path: of the XML; weights come to stand beside it."""
    import openvino as ov

    path.parent.mkdir(parents=True, exist_ok=True)
    ops = OpenVinoOps(ckpt, int8)
    build(ops, ckpt)
    ov.save_model(ops.model(), path, compress_to_fp16=False)
