"""GPT-2 in plain NumPy, written from the paper's formulas and sharing no code with lapwing.

A second oracle, whose roundings can be chosen: tests replace weights by dequantized ones and pass
functions that round the input of every linear and the KV cache.  test_numpy_gpt2.py holds it
against transformers' answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tiny import read_checkpoint

Array = npt.NDArray[np.floating[Any]]
Rounding = Callable[[Array], Array]


@dataclass(frozen=True)
class NumpyGPT2:
    """Tensors by checkpoint name without `transformer.`; `head` is [V, D] and may not be `wte`."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Array]
    head: Array
    round_activations: Rounding = lambda x: x  # the input of every linear and of the head
    round_kv: Rounding = lambda x: x

    @classmethod
    def open(cls, directory: Path, dtype: npt.DTypeLike = np.float32) -> NumpyGPT2:
        """A checkpoint directory, computed in `dtype`."""
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        tensors: dict[str, Array] = {
            name.removeprefix("transformer."): tensor.astype(dtype)
            for name, tensor in read_checkpoint(directory).items()
        }
        return cls(config, tensors, tensors.get("lm_head.weight", tensors["wte.weight"]))

    def __call__(self, ids: Sequence[int]) -> Array:
        """Logits [L, V] of one sequence."""
        epsilon, n_layer = self.config["layer_norm_epsilon"], self.config["n_layer"]
        activation = ACTIVATIONS[self.config["activation_function"]]
        h = self.tensors["wte.weight"][list(ids)] + self.tensors["wpe.weight"][: len(ids)]
        for i in range(n_layer):
            x = self._norm(h, f"h.{i}.ln_1", epsilon)
            h = h + self._linear(self._attend(x, i), f"h.{i}.attn.c_proj")
            x = self._norm(h, f"h.{i}.ln_2", epsilon)
            h = h + self._linear(
                activation(self._linear(x, f"h.{i}.mlp.c_fc")), f"h.{i}.mlp.c_proj"
            )
        logits: Array = self.round_activations(self._norm(h, "ln_f", epsilon)) @ self.head.T
        return logits

    def _attend(self, x: Array, layer: int) -> Array:
        L, D = x.shape
        H = self.config["n_head"]
        qkv = self._linear(x, f"h.{layer}.attn.c_attn").reshape(L, 3, H, D // H)
        queries, keys, values = qkv.transpose(1, 2, 0, 3)  # each [H, L, Dh]
        scale = (D // H) ** -0.5 if self.config["scale_attn_weights"] else 1.0
        if self.config["scale_attn_by_inverse_layer_idx"]:
            scale /= layer + 1
        scores = queries @ self.round_kv(keys).transpose(0, 2, 1) * x.dtype.type(scale)
        scores = np.where(np.tri(L, dtype=bool), scores, -np.inf)  # [H, L, L]
        probs = np.exp(scores - scores.max(-1, keepdims=True))
        probs /= probs.sum(-1, keepdims=True)
        attn_out: Array = (probs @ self.round_kv(values)).transpose(1, 0, 2).reshape(L, D)
        return attn_out

    def _linear(self, x: Array, name: str) -> Array:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        y: Array = self.round_activations(x) @ weight + bias
        return y

    def _norm(self, x: Array, name: str, epsilon: float) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        normed: Array = centred / np.sqrt(variance + x.dtype.type(epsilon)) * weight + bias
        return normed


def log_softmax(logits: Array) -> npt.NDArray[np.float64]:
    """Over the last axis, in float64."""
    shifted = np.asarray(logits, np.float64) - logits.max(-1, keepdims=True)
    logprobs: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logprobs


def _gelu_new(x: Array) -> Array:
    result: Array = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return result


def _gelu(x: Array) -> Array:
    erf = np.vectorize(math.erf, otypes=[x.dtype])
    result: Array = 0.5 * x * (1 + erf(x / math.sqrt(2)))
    return result


ACTIVATIONS: Mapping[str, Rounding] = {
    "gelu_new": _gelu_new,
    "gelu": _gelu,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}
