"""Tiny random GPT-2 checkpoints, the same bytes from the same seed on every machine.

Weights come from raw PCG64 integers and exactly rounded IEEE operations only, because NumPy keeps
a bit generator's raw stream stable for ever, but not the streams of its distributions.  They are
large enough (1.2 / sqrt(fan-in), biases of 0.1, norms around 1) for every term of the forward pass
to show in the logits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Dtype = Literal["F32", "F16", "BF16"]
FloatArray = npt.NDArray[np.float32]
Tensor = FloatArray | npt.NDArray[np.int64]

# The standard deviation of a sum of four 16-bit uniform integers, and its mean.
_SUM_MEAN = 4 * 65535 / 2
_SUM_STD = math.sqrt(4 * (65536**2 - 1) / 12)

# Named variants for `write_gpt2`, each a different way to be wrong: odd sizes, every activation,
# every attention scale, every file dtype and layout.
SHAPES: dict[str, dict[str, Any]] = {
    "base": {},
    "odd": {"n_embd": 60, "n_head": 5, "vocab_size": 97, "n_inner": 100},  # heads of 12
    "one_head": {"n_embd": 32, "n_head": 1, "n_layer": 1},
    "three_heads": {"n_embd": 36, "n_head": 3, "vocab_size": 101, "n_layer": 3},  # heads of 12
    "prime": {"n_embd": 35, "n_head": 5, "vocab_size": 61, "n_inner": 37},  # heads of 7
    "narrow_heads": {"n_embd": 24, "n_head": 12, "vocab_size": 33},  # heads of 2
    "wide": {"n_embd": 160, "n_head": 2, "n_layer": 1},  # heads of 80, K beyond one 128 block
    "gelu": {"activation_function": "gelu"},
    "relu": {"activation_function": "relu"},
    "silu": {"activation_function": "silu"},
    "tanh": {"activation_function": "tanh"},
    "inverse_layer": {"scale_attn_by_inverse_layer_idx": True, "n_layer": 3},
    "unscaled": {"scale_attn_weights": False, "n_embd": 32, "n_head": 8},
    "large_epsilon": {"layer_norm_epsilon": 0.1},
    "untied": {"tie": False},
    "f16": {"dtype": "F16"},
    "bf16": {"dtype": "BF16"},
    "short": {"n_positions": 8},
    "long": {"n_positions": 300, "vocab_size": 48, "n_embd": 32},
    "old_hub": {"prefix": "", "config_generation": "torch_dtype", "attn_buffers": True},
    "sharded": {"shards": 3, "dtype": "F16", "config_generation": "torch_dtype"},
}


def write_gpt2(
    directory: Path,
    *,
    seed: int,
    n_embd: int = 64,
    n_head: int = 4,
    n_layer: int = 2,
    vocab_size: int = 128,
    n_positions: int = 64,
    n_inner: int | None = None,
    activation_function: str = "gelu_new",
    layer_norm_epsilon: float = 1e-5,
    tie: bool = True,
    scale_attn_by_inverse_layer_idx: bool = False,
    scale_attn_weights: bool = True,
    dtype: Dtype = "F32",
    config_generation: Literal["torch_dtype", "dtype"] = "dtype",
    prefix: Literal["transformer.", ""] = "transformer.",
    shards: int = 1,
    attn_buffers: bool = False,
    extra_config: Mapping[str, Any] | None = None,
) -> Path:
    """Write config.json and safetensors of a random GPT-2 to `directory`; return `directory`.

    `config_generation` names the key that holds the dtype (transformers 4 or 5).  `prefix=""` and
    `attn_buffers=True` (the causal masks that early checkpoints carry as tensors) give the layout
    of the first GPT-2 files on the hub.  `extra_config` adds or replaces keys of config.json.
    """
    config: dict[str, Any] = {
        "activation_function": activation_function,
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": 0,
        "embd_pdrop": 0.1,
        "eos_token_id": 0,
        "initializer_range": 0.02,
        "layer_norm_epsilon": layer_norm_epsilon,
        "model_type": "gpt2",
        "n_embd": n_embd,
        "n_head": n_head,
        "n_inner": n_inner,
        "n_layer": n_layer,
        "n_positions": n_positions,
        "resid_pdrop": 0.1,
        "scale_attn_by_inverse_layer_idx": scale_attn_by_inverse_layer_idx,
        "scale_attn_weights": scale_attn_weights,
        "tie_word_embeddings": tie,
        "use_cache": True,
        "vocab_size": vocab_size,
        config_generation: {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[dtype],
    }
    if config_generation == "torch_dtype":
        config |= {"n_ctx": n_positions, "transformers_version": "4.30.0"}
    else:
        config |= {"add_cross_attention": False, "transformers_version": "5.0.0"}
    config |= extra_config or {}

    draw = Draw(seed)
    tensors: dict[str, FloatArray] = {
        prefix + name: tensor
        for name, tensor in _transformer(
            draw, n_embd, n_layer, vocab_size, n_positions, n_inner or 4 * n_embd
        ).items()
    }
    if not tie:
        tensors["lm_head.weight"] = draw.matrix(vocab_size, n_embd, fan_in=n_embd)
    if attn_buffers:
        mask = np.tril(np.ones((1, 1, n_positions, n_positions), np.float32))
        tensors |= {f"{prefix}h.{i}.attn.bias": mask for i in range(n_layer)}

    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (directory / "config.json").write_text(text, encoding="utf-8")
    if shards == 1:
        write_safetensors(directory / "model.safetensors", tensors, dtype)
    else:
        write_shards(directory, tensors, dtype, shards)
    return directory


def random_ids(seed: int, length: int, vocab_size: int) -> list[int]:
    """`length` token ids in [0, vocab_size), stable like the weights."""
    raw = np.random.PCG64(seed).random_raw(length)
    return [int(value) for value in (raw >> np.uint64(32)) % np.uint64(vocab_size)]


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], dtype: Dtype) -> None:
    """Write `tensors` in the given order, each rounded to `dtype` (nearest, ties to even).

    Integers are written as I64, whatever `dtype` says: checkpoints carry positions as such.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts: list[bytes] = []
    end = 0
    for name, tensor in tensors.items():
        parts.append(_encode(tensor, dtype))
        begin, end = end, end + len(parts[-1])
        stored = "I64" if tensor.dtype.kind == "i" else dtype
        header[name] = {"dtype": stored, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def read_checkpoint(directory: Path) -> dict[str, FloatArray]:
    """Every tensor of every safetensors file in `directory`, widened to float32."""
    tensors: dict[str, FloatArray] = {}
    for path in sorted(directory.glob("*.safetensors")):
        blob = path.read_bytes()
        start = 8 + int.from_bytes(blob[:8], "little")
        for name, info in json.loads(blob[8:start]).items():
            if name != "__metadata__":
                begin, end = info["data_offsets"]
                flat = _decode(blob[start + begin : start + end], info["dtype"])
                tensors[name] = flat.reshape(info["shape"])
    return tensors


def write_shards(directory: Path, tensors: Mapping[str, Tensor], dtype: Dtype, shards: int) -> None:
    """Deal the tensors out in turn, so that neighbours in the model lie in different files."""
    weight_map = {
        name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors"
        for i, name in enumerate(tensors)
    }
    for file in sorted(set(weight_map.values())):
        part = {name: tensors[name] for name in tensors if weight_map[name] == file}
        write_safetensors(directory / file, part, dtype)
    total_size = sum(len(_encode(tensor, dtype)) for tensor in tensors.values())
    index = {"metadata": {"total_size": total_size}, "weight_map": weight_map}
    text = json.dumps(index, indent=2) + "\n"
    (directory / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def _encode(tensor: Tensor, dtype: Dtype) -> bytes:
    if tensor.dtype.kind == "i":
        return tensor.astype("<i8").tobytes()
    if dtype != "BF16":
        return tensor.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()
    bits = tensor.astype(np.float32).view(np.uint32)
    to_even = (bits >> 16) & 1
    return ((bits + 0x7FFF + to_even) >> 16).astype("<u2").tobytes()


def _decode(blob: bytes, dtype: Dtype | Literal["I64"]) -> FloatArray:
    if dtype != "BF16":
        kinds = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}
        return np.frombuffer(blob, kinds[dtype]).astype(np.float32)
    return (np.frombuffer(blob, "<u2").astype(np.uint32) << 16).view(np.float32)


def _transformer(
    draw: Draw, D: int, n_layer: int, V: int, n_positions: int, F: int
) -> dict[str, FloatArray]:
    """Tensors by checkpoint name without a prefix; Conv1D weights are [in, out]."""
    tensors = {
        "wte.weight": draw.matrix(V, D, fan_in=D),
        "wpe.weight": draw.matrix(n_positions, D, fan_in=D),
    }

    def linear(name: str, n_in: int, n_out: int) -> None:
        tensors[f"{name}.weight"] = draw.matrix(n_in, n_out, fan_in=n_in)
        tensors[f"{name}.bias"] = draw.vector(n_out, 0.0, 0.1)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"] = draw.vector(D, 1.0, 0.2)
        tensors[f"{name}.bias"] = draw.vector(D, 0.0, 0.1)

    for i in range(n_layer):
        norm(f"h.{i}.ln_1")
        linear(f"h.{i}.attn.c_attn", D, 3 * D)
        linear(f"h.{i}.attn.c_proj", D, D)
        norm(f"h.{i}.ln_2")
        linear(f"h.{i}.mlp.c_fc", D, F)
        linear(f"h.{i}.mlp.c_proj", F, D)
    norm("ln_f")
    return tensors


class Draw:
    """Nearly normal numbers: sums of the four 16-bit quarters of each raw 64-bit integer."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def matrix(self, rows: int, columns: int, *, fan_in: int) -> FloatArray:
        return self._numbers((rows, columns), 0.0, 1.2 / math.sqrt(fan_in))

    def vector(self, n: int, mean: float, std: float) -> FloatArray:
        return self._numbers((n,), mean, std)

    def _numbers(self, shape: Sequence[int], mean: float, std: float) -> FloatArray:
        raw: npt.NDArray[np.uint64] = self._bits.random_raw(math.prod(shape))
        sums = raw.view(np.uint16).reshape(-1, 4).sum(axis=1, dtype=np.int64)
        values: FloatArray = (mean + (sums - _SUM_MEAN) * (std / _SUM_STD)).astype(np.float32)
        return values.reshape(shape)
