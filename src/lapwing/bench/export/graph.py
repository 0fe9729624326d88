"""The architectures once more, for runtimes that take graphs; each brings its own operations.

Token ids in; logits of the positions in `keep` out, or one unit vector a text.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lapwing.bench.export.checkpoint import Checkpoint, Shape

Array = NDArray[np.float32]
Node = Any
Activation = Literal["gelu", "gelu_tanh"]


class Ops(Protocol):
    """What a graph is made of. Weights are [N, K], biases [N]; h is [B, S, D]."""

    ids: Node
    positions: Node

    def lookup(self, table: Array, indices: Node) -> Node: ...
    def add(self, a: Node, b: Node) -> Node: ...
    def gate(self, a: Node, b: Node) -> Node:
        """silu(a) · b."""

    def linear(
        self, x: Node, weight: Array, bias: Array | None, activation: Activation | None = None
    ) -> Node: ...
    def layer_norm(self, x: Node, weight: Array, bias: Array, eps: float) -> Node: ...
    def rms_norm(self, x: Node, weight: Array, eps: float) -> Node: ...
    def attend(self, layer: int, x: Node, weight: Array, bias: Array | None) -> Node:
        """Projects to q, k and v (rows in that order), turns, appends and attends."""

    def head(self, h: Node, weight: Array) -> None:
        """Logits of the kept positions: the graph's result."""

    def pool(self, h: Node) -> None:
        """Means over real tokens, to unit length: the graph's result."""


def build(ops: Ops, ckpt: Checkpoint) -> None:
    """The whole model. Raises KeyError for another architecture."""
    {"gpt2": _gpt2, "llama": _llama, "qwen2": _llama, "bert": _bert}[ckpt.family](ops, ckpt)


def rope_tables(ckpt: Checkpoint, positions: int) -> tuple[Array, Array]:
    """cos and sin, [positions, Dh / 2]."""
    s = ckpt.shape
    assert s.rope_theta is not None
    frequencies = s.rope_theta ** (-np.arange(0, s.Dh, 2, dtype=np.float64) / s.Dh)
    factors = ckpt.rope_factors()
    if factors is not None:
        frequencies /= factors
    angles = np.arange(positions)[:, None] * frequencies
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _gpt2(ops: Ops, ckpt: Checkpoint) -> None:
    s = ckpt.shape

    def conv(name: str) -> tuple[Array, Array]:
        return np.ascontiguousarray(ckpt[f"{name}.weight"].T), ckpt[f"{name}.bias"]

    def norm(name: str, x: Node) -> Node:
        return ops.layer_norm(x, ckpt[f"{name}.weight"], ckpt[f"{name}.bias"], s.eps)

    h = ops.add(
        ops.lookup(ckpt["wte.weight"], ops.ids), ops.lookup(ckpt["wpe.weight"], ops.positions)
    )
    for i in range(s.n_layers):
        attended = ops.attend(i, norm(f"h.{i}.ln_1", h), *conv(f"h.{i}.attn.c_attn"))
        h = ops.add(h, ops.linear(attended, *conv(f"h.{i}.attn.c_proj")))
        inner = ops.linear(norm(f"h.{i}.ln_2", h), *conv(f"h.{i}.mlp.c_fc"), "gelu_tanh")
        h = ops.add(h, ops.linear(inner, *conv(f"h.{i}.mlp.c_proj")))
    ops.head(norm("ln_f", h), ckpt["wte.weight"])


def _llama(ops: Ops, ckpt: Checkpoint) -> None:
    s = ckpt.shape

    def bias(name: str) -> Array | None:
        return ckpt.get(f"{name}.bias")

    h = ops.lookup(ckpt["embed_tokens.weight"], ops.ids)
    for i in range(s.n_layers):
        at = f"layers.{i}"
        parts = [f"{at}.self_attn.{part}_proj" for part in "qkv"]
        biases = [bias(part) for part in parts]
        x = ops.rms_norm(h, ckpt[f"{at}.input_layernorm.weight"], s.eps)
        attended = ops.attend(
            i,
            x,
            np.concatenate([ckpt[f"{part}.weight"] for part in parts]),
            None if biases[0] is None else np.concatenate([b for b in biases if b is not None]),
        )
        h = ops.add(h, ops.linear(attended, ckpt[f"{at}.self_attn.o_proj.weight"], None))
        x = ops.rms_norm(h, ckpt[f"{at}.post_attention_layernorm.weight"], s.eps)
        gate, up = (
            ops.linear(x, ckpt[f"{at}.mlp.{part}_proj.weight"], None) for part in ("gate", "up")
        )
        inner = ops.gate(gate, up)
        h = ops.add(h, ops.linear(inner, ckpt[f"{at}.mlp.down_proj.weight"], None))
    tied = "lm_head.weight" not in ckpt
    head = ckpt["embed_tokens.weight" if tied else "lm_head.weight"]
    ops.head(ops.rms_norm(h, ckpt["norm.weight"], s.eps), head)


def _bert(ops: Ops, ckpt: Checkpoint) -> None:
    s = ckpt.shape

    def dense(name: str) -> tuple[Array, Array]:
        return ckpt[f"{name}.weight"], ckpt[f"{name}.bias"]

    def norm(name: str, x: Node) -> Node:
        return ops.layer_norm(x, *dense(f"{name}.LayerNorm"), s.eps)

    at = "embeddings"
    # All tokens are of the first type: its row joins the positions'.
    positions = (
        ckpt[f"{at}.position_embeddings.weight"] + ckpt[f"{at}.token_type_embeddings.weight"][0]
    )
    words = ops.lookup(ckpt[f"{at}.word_embeddings.weight"], ops.ids)
    h = norm(at, ops.add(words, ops.lookup(positions, ops.positions)))
    for i in range(s.n_layers):
        at = f"encoder.layer.{i}"
        parts = [dense(f"{at}.attention.self.{part}") for part in ("query", "key", "value")]
        weight, bias = (np.concatenate(each) for each in zip(*parts, strict=True))
        attended = ops.attend(i, h, weight, bias)
        h = norm(
            f"{at}.attention.output",
            ops.add(h, ops.linear(attended, *dense(f"{at}.attention.output.dense"))),
        )
        inner = ops.linear(h, *dense(f"{at}.intermediate.dense"), "gelu")
        h = norm(f"{at}.output", ops.add(h, ops.linear(inner, *dense(f"{at}.output.dense"))))
    ops.pool(h)


def matrices_bytes(ckpt: Checkpoint, s: Shape, bytes_each: float) -> int:
    """Of the matrices that a decoded token reads, at so many bytes a number."""
    gates = 3 if s.rope_theta is not None else 2
    a_layer = s.D * ((2 * s.H + 2 * s.Hkv) * s.Dh + gates * s.F)
    head = 0 if ckpt.family == "bert" else s.D * s.V
    return int(bytes_each * (s.n_layers * a_layer + head))
