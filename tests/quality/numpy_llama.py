"""Llama in plain NumPy, written from the paper's formulas and sharing no code with lapwing.

As numpy_gpt2.py: tests replace weights by dequantized ones and pass functions that round the input
of every linear and the KV cache.  Positions turn by their plain angles only, without any scaling.
test_numpy_llama.py holds it against transformers' answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from quality.numpy_gpt2 import ACTIVATIONS, Array, Rounding
from tiny import read_checkpoint

DEFAULTS: Mapping[str, Any] = {  # of transformers, configuration_llama.py
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
}


@dataclass(frozen=True)
class NumpyLlama:
    """Tensors by checkpoint name without `model.`; `head` is [V, D] and may be the embeddings."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Array]
    head: Array
    round_activations: Rounding = lambda x: x  # the input of every linear and of the head
    round_kv: Rounding = lambda x: x

    @classmethod
    def open(cls, directory: Path, dtype: npt.DTypeLike = np.float32) -> NumpyLlama:
        """A checkpoint directory, computed in `dtype`."""
        config = {
            **DEFAULTS,
            **json.loads((directory / "config.json").read_text(encoding="utf-8")),
        }
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        assert rope.get("rope_type", "default") == "default", rope
        config.setdefault("rope_theta", rope.get("rope_theta", 10000.0))
        tensors: dict[str, Array] = {
            name.removeprefix("model."): tensor.astype(dtype)
            for name, tensor in read_checkpoint(directory).items()
        }
        tied = config["tie_word_embeddings"]
        return cls(config, tensors, tensors["embed_tokens.weight" if tied else "lm_head.weight"])

    def __call__(self, ids: Sequence[int]) -> Array:
        """Logits [L, V] of one sequence."""
        activation = ACTIVATIONS[self.config["hidden_act"]]
        h = self.tensors["embed_tokens.weight"][list(ids)]  # [L, D]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"layers.{i}"
            x = self._norm(h, f"{layer}.input_layernorm")
            h = h + self._attention(x, f"{layer}.self_attn")
            x = self._norm(h, f"{layer}.post_attention_layernorm")
            gate = activation(self._linear(x, f"{layer}.mlp.gate_proj"))
            inner = gate * self._linear(x, f"{layer}.mlp.up_proj")  # [L, F]
            h = h + self._linear(inner, f"{layer}.mlp.down_proj")
        logits: Array = self.round_activations(self._norm(h, "norm")) @ self.head.T
        return logits

    def _attention(self, x: Array, name: str) -> Array:
        L, D = x.shape
        H = self.config["num_attention_heads"]
        Hkv = self.config.get("num_key_value_heads") or H
        Dh = self.config.get("head_dim") or D // H
        heads = {
            part: self._linear(x, f"{name}.{part}_proj").reshape(L, -1, Dh).transpose(1, 0, 2)
            for part in ("q", "k", "v")
        }  # [H, L, Dh], of keys and values [Hkv, L, Dh]
        queries, keys = self._turned(heads["q"]), self.round_kv(self._turned(heads["k"]))
        values = self.round_kv(heads["v"])
        of_head = np.arange(H) // (H // Hkv)  # whose keys and values a head reads
        scores = queries @ keys[of_head].transpose(0, 2, 1) / np.sqrt(x.dtype.type(Dh))
        scores = np.where(np.tri(L, dtype=bool), scores, -np.inf)  # [H, L, L]
        probs = np.exp(scores - scores.max(-1, keepdims=True))
        probs /= probs.sum(-1, keepdims=True)
        attn_out = (probs @ values[of_head]).transpose(1, 0, 2).reshape(L, H * Dh)
        return self._linear(attn_out, f"{name}.o_proj")

    def _turned(self, heads: Array) -> Array:
        """[heads, L, Dh]: the pair (j, j + Dh/2) of position p by the angle p · theta^(-2j/Dh)."""
        _, L, Dh = heads.shape
        inv_freq = self.config["rope_theta"] ** (-np.arange(0, Dh, 2) / Dh)
        turns = np.exp(1j * np.arange(L)[:, None] * inv_freq)  # [L, Dh/2]
        first, second = np.split(heads, 2, axis=-1)
        turned = (first + 1j * second) * turns
        joined: Array = np.concatenate([turned.real, turned.imag], axis=-1).astype(heads.dtype)
        return joined

    def _linear(self, x: Array, name: str) -> Array:
        y: Array = self.round_activations(x) @ self.tensors[f"{name}.weight"].T
        bias = self.tensors.get(f"{name}.bias")
        return y if bias is None else y + bias

    def _norm(self, x: Array, name: str) -> Array:
        mean_square = (x**2).mean(-1, keepdims=True)
        epsilon = x.dtype.type(self.config["rms_norm_eps"])
        normed: Array = x / np.sqrt(mean_square + epsilon) * self.tensors[f"{name}.weight"]
        return normed
