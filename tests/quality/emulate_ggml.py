"""Q4_0 and Q8_0 of ggml, emulated from their published definition.

Both cut a row into blocks of 32 along K and keep one float16 scale d per block (ggml, file
`ggml-quants.c`, functions `quantize_row_q4_0_ref` and `quantize_row_q8_0_ref`):

    Q8_0   d = max|x| / 127                 q = round(x / d)               w = d q
    Q4_0   d = (x of largest |x|) / -8      q = min(15, trunc(x/d + 8.5))  w = d (q - 8)

d is rounded to float16 where it is stored, not where q is chosen.  A dot product with either
first rounds the activations to Q8_0, so the emulation rounds them too.  The integer sums of ggml
are exact, hence the float product of the rounded numbers is what ggml computes, up to the order
of float32 additions.  4 + 16/32 = 4.5 and 8 + 16/32 = 8.5 bits a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from quality.numpy_gpt2 import Array, NumpyGPT2
from quality.numpy_llama import NumpyLlama

BLOCK = 32
CONV1D = ("c_attn", "c_proj", "c_fc")  # [in, out]: K first
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
EMBEDDINGS = ("wte.weight", "embed_tokens.weight")
Quantizer = Callable[[Array], Array]
Model = TypeVar("Model", NumpyGPT2, NumpyLlama)


def q8_0(x: Array) -> Array:
    """Round to Q8_0 and back; blocks along the last axis."""
    blocks = _blocks(x)
    d = np.abs(blocks).max(1, keepdims=True) / np.float32(127)
    q = _round_half_away(blocks * _inverse(d))
    return _whole(_stored(d) * q, x)


def q4_0(x: Array) -> Array:
    """Round to Q4_0 and back; blocks along the last axis."""
    blocks = _blocks(x)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], axis=1)
    d = largest / np.float32(-8)
    q = np.minimum(15, np.trunc(blocks * _inverse(d) + np.float32(8.5)))
    return _whole(_stored(d) * (q - 8), x)


def emulate(model: Model, quantize: Quantizer) -> Model:
    """The model as llama.cpp computes it, every linear and the head in one format.

    Embedding look-ups read Q8_0 whatever the format, because lapwing's look-ups always read both
    planes: so a comparison spends the same bits.  The KV cache is float16, the default of both.
    """
    tensors = dict(model.tensors)
    for name, tensor in tensors.items():
        module, kind = name.split(".")[-2:]
        if kind == "weight" and module in CONV1D:
            tensors[name] = quantize(np.ascontiguousarray(tensor.T)).T
        elif kind == "weight" and module in LINEARS:
            tensors[name] = quantize(tensor)
        elif name in EMBEDDINGS:
            tensors[name] = q8_0(tensor)
    return replace(
        model,
        tensors=tensors,
        head=quantize(model.head),
        round_activations=q8_0,
        round_kv=lambda x: x.astype(np.float16).astype(np.float32),
    )


def _blocks(x: Array) -> Array:
    """[n, 32]. A last block that is not full, which ggml has none of, is filled with zeros."""
    padding = [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % BLOCK)]
    blocks: Array = np.pad(x, padding).reshape(-1, BLOCK).astype(np.float32)
    return blocks


def _whole(blocks: Array, like: Array) -> Array:
    """Blocks back in the shape of `like`, whose last ones may not have been full."""
    K = like.shape[-1]
    whole: Array = blocks.reshape(*like.shape[:-1], K + -K % BLOCK)[..., :K]
    return whole


def _inverse(d: Array) -> Array:
    return np.divide(1, d, out=np.zeros_like(d), where=d != 0)


def _stored(d: Array) -> npt.NDArray[np.float32]:
    return d.astype(np.float16).astype(np.float32)


def _round_half_away(x: Array) -> Array:
    rounded: Array = np.trunc(x + np.copysign(np.float32(0.5), x))
    return rounded
