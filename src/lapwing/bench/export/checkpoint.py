"""A Hugging Face directory of one safetensors file, read as float32 arrays."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Names of base models stand in files with or without these.
PREFIXES = ("transformer.", "bert.", "model.")


@dataclass(frozen=True)
class Shape:
    """What every exporter needs of a config, in one vocabulary."""

    D: int
    F: int
    V: int
    n_layers: int
    H: int
    Hkv: int
    Dh: int
    context: int
    eps: float
    rope_theta: float | None

    @property
    def kv_numbers(self) -> int:
        """Of one token in the cache: keys and values of all layers."""
        return 2 * self.n_layers * self.Hkv * self.Dh


class Checkpoint:
    """Tensors by their names without the base model's prefix."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config: dict[str, Any] = json.loads((directory / "config.json").read_text())
        with (directory / "model.safetensors").open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header.pop("__metadata__", None)
        self._begin = 8 + length
        self._entries = {_bare(name): entry for name, entry in header.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    @property
    def family(self) -> str:
        """The config's model_type."""
        return str(self.config["model_type"])

    @property
    def weights(self) -> int:
        """Numbers in all tensors."""
        return sum(int(np.prod(entry["shape"])) for entry in self._entries.values())

    @property
    def shape(self) -> Shape:
        """Of the config, with the defaults of transformers' configuration classes."""
        c = self.config
        if self.family == "gpt2":
            D, H = c["n_embd"], c["n_head"]
            eps = c.get("layer_norm_epsilon", 1e-5)
            return Shape(D, c.get("n_inner") or 4 * D, c["vocab_size"], c["n_layer"], H, H, D // H,
                         c["n_positions"], eps, None)  # fmt: skip
        D, H = c["hidden_size"], c["num_attention_heads"]
        bert = self.family == "bert"
        return Shape(
            D,
            c["intermediate_size"],
            c["vocab_size"],
            c["num_hidden_layers"],
            H,
            c.get("num_key_value_heads", H),
            c.get("head_dim") or D // H,
            c["max_position_embeddings"],
            c["layer_norm_eps"] if bert else c.get("rms_norm_eps", 1e-6),
            None if bert else c.get("rope_theta", 10000.0),
        )

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """float32, whatever the file has."""
        entry = self._entries[name]
        begin, end = entry["data_offsets"]
        kinds = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
        count = (end - begin) // np.dtype(kinds[entry["dtype"]]).itemsize
        raw = np.frombuffer(self._data, kinds[entry["dtype"]], count, self._begin + begin)
        if entry["dtype"] == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32, copy=False).reshape(entry["shape"])

    def get(self, name: str) -> NDArray[np.float32] | None:
        """None for a tensor that is not there."""
        return self[name] if name in self._entries else None

    def rope_factors(self) -> NDArray[np.float32] | None:
        """What Llama 3 divides each frequency by, [Dh / 2]; None for plain rotary positions.

        As transformers' `_compute_llama3_parameters`.
        """
        scaling = self.config.get("rope_scaling") or {}
        if scaling.get("rope_type") != "llama3":
            return None
        s = self.shape
        assert s.rope_theta is not None
        wavelength = 2 * np.pi * s.rope_theta ** (np.arange(0, s.Dh, 2, dtype=np.float64) / s.Dh)
        turns = scaling["original_max_position_embeddings"] / wavelength
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        blend = np.clip((turns - low) / (high - low), 0, 1)  # 0: divided by factor, 1: as it is
        return (1 / (blend + (1 - blend) / scaling["factor"])).astype(np.float32)


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name
