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

import numpy as np
import numpy.typing as npt
from quality.numpy_gpt2 import Array, NumpyGPT2

BLOCK = 32
LINEARS = ("c_attn", "c_proj", "c_fc")
Quantizer = Callable[[Array], Array]


def q8_0(x: Array) -> Array:
    """Round to Q8_0 and back; blocks along the last axis, whose length is a multiple of 32."""
    blocks = x.reshape(-1, BLOCK).astype(np.float32)
    d = np.abs(blocks).max(1, keepdims=True) / np.float32(127)
    q = _round_half_away(blocks * _inverse(d))
    w: Array = _stored(d) * q
    return w.reshape(x.shape)


def q4_0(x: Array) -> Array:
    """Round to Q4_0 and back; blocks along the last axis, whose length is a multiple of 32."""
    blocks = x.reshape(-1, BLOCK).astype(np.float32)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], axis=1)
    d = largest / np.float32(-8)
    q = np.minimum(15, np.trunc(blocks * _inverse(d) + np.float32(8.5)))
    w: Array = _stored(d) * (q - 8)
    return w.reshape(x.shape)


def emulate(model: NumpyGPT2, quantize: Quantizer) -> NumpyGPT2:
    """The model as llama.cpp computes it, every linear and the head in one format.

    Embedding look-ups read Q8_0 whatever the format, because lapwing's look-ups always read both
    planes: so a comparison spends the same bits.  The KV cache is float16, the default of both.
    """
    tensors = dict(model.tensors)
    for name, tensor in tensors.items():
        if name.split(".")[-2] in LINEARS and name.endswith(".weight"):
            tensors[name] = quantize(np.ascontiguousarray(tensor.T)).T  # [in, out]: K first
    tensors["wte.weight"] = q8_0(tensors["wte.weight"])
    return replace(
        model,
        tensors=tensors,
        head=quantize(model.head),
        round_activations=q8_0,
        round_kv=lambda x: x.astype(np.float16).astype(np.float32),
    )


def _inverse(d: Array) -> Array:
    return np.divide(1, d, out=np.zeros_like(d), where=d != 0)


def _stored(d: Array) -> npt.NDArray[np.float32]:
    return d.astype(np.float16).astype(np.float32)


def _round_half_away(x: Array) -> Array:
    rounded: Array = np.trunc(x + np.copysign(np.float32(0.5), x))
    return rounded
