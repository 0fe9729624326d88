"""Random GPT-2 checkpoints at true shapes, made on the spot: weights N(0, 0.02), norms 1."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SHAPES = {
    "gpt2-124m": {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024},
    "gpt2-0.5b": {"n_embd": 1280, "n_layer": 24, "n_head": 20, "n_positions": 1024},
}
VOCAB = 50257
NUMPY = {"F32": np.float32, "F16": np.float16}


def tensors(shape: dict[str, int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes in file order."""
    D = shape["n_embd"]
    yield "wte.weight", (VOCAB, D)
    yield "wpe.weight", (shape["n_positions"], D)
    for i in range(shape["n_layer"]):
        for name, K, N in (
            ("attn.c_attn", D, 3 * D),
            ("attn.c_proj", D, D),
            ("mlp.c_fc", D, 4 * D),
            ("mlp.c_proj", 4 * D, D),
        ):
            yield f"h.{i}.{name}.weight", (K, N)
            yield f"h.{i}.{name}.bias", (N,)
        for norm in ("ln_1", "ln_2"):
            yield f"h.{i}.{norm}.weight", (D,)
            yield f"h.{i}.{norm}.bias", (D,)
    yield "ln_f.weight", (D,)
    yield "ln_f.bias", (D,)


def write(directory: Path, name: str, dtype: str = "F16", seed: int = 0) -> Path:
    """A model directory of a named shape; an existing one is kept."""
    target = directory / f"{name}-{dtype.lower()}"
    if (target / "config.json").exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    shape = SHAPES[name]
    kind = np.dtype(NUMPY[dtype])
    header, offset = {}, 0
    for tensor, dims in tensors(shape):
        nbytes = int(np.prod(dims)) * kind.itemsize
        header[tensor] = {
            "dtype": dtype,
            "shape": list(dims),
            "data_offsets": [offset, offset + nbytes],
        }
        offset += nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 64)
    # One block of normal values, read from a random offset for each tensor: fast and varied.
    rng = np.random.default_rng(seed)
    block = (rng.standard_normal(1 << 22, np.float32) * 0.02).astype(kind)
    with (target / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for tensor, dims in tensors(shape):
            count = int(np.prod(dims))
            if ".ln_" in tensor or tensor.startswith("ln_f"):
                value = 1 if tensor.endswith("weight") else 0
                file.write(np.full(count, value, kind).tobytes())
                continue
            while count:
                begin = int(rng.integers(0, block.size // 2))
                part = block[begin : begin + count]
                file.write(part.tobytes())
                count -= part.size
    config = {"model_type": "gpt2", "vocab_size": VOCAB, **shape}
    (target / "config.json").write_text(json.dumps(config))
    return target
