"""Frequencies of rotary positions, and how checkpoints stretch them to longer texts.

Formulas and keys of transformers' `modeling_rope_utils.py`: linear, dynamic (NTK), llama3, yarn
(arXiv 2309.00071), longrope (arXiv 2402.13753). Where transformers looks at the length of the
moment (dynamic, longrope), the length a cache may reach decides here: a sequence is then turned by
the same angles from its first token to its last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapwing.models.config import ConfigReader

Floats = NDArray[np.float32]
TYPES = ("default", "linear", "dynamic", "llama3", "yarn", "longrope")


@dataclass(frozen=True)
class Rope:
    """Rotary positions of one kind of layer; `dim` of a head's dimensions are turned."""

    rope_type: str
    rope_theta: float
    dim: int
    max_position_embeddings: int
    factor: float = 1.0
    original_max_position_embeddings: int = 0
    attention_factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    short_factor: tuple[float, ...] = ()
    long_factor: tuple[float, ...] = ()

    @property
    def context_length(self) -> int:
        """Positions the model may be used at."""
        stretched = int(self.factor * self.original_max_position_embeddings)
        if self.rope_type == "yarn":
            return max(self.max_position_embeddings, stretched)
        if self.rope_type == "dynamic":
            return int(self.factor * self.max_position_embeddings)
        return self.max_position_embeddings

    def frequencies(self, capacity: int) -> tuple[Floats, float]:
        """(angle a position for each pair [dim/2], factor on cosine and sine).

        capacity: how long the sequence may become.
        """
        theta = self.rope_theta
        if self.rope_type == "dynamic":
            length = max(capacity, self.max_position_embeddings)
            stretch = self.factor * length / self.max_position_embeddings - (self.factor - 1)
            theta *= stretch ** (self.dim / (self.dim - 2))
        exponents = np.arange(0, self.dim, 2, dtype=np.float32) / np.float32(self.dim)
        wavelengths = np.float32(theta) ** exponents  # over 2π
        inv_freq = np.float32(1) / wavelengths
        if self.rope_type == "linear":
            inv_freq = inv_freq / np.float32(self.factor)
        elif self.rope_type == "llama3":
            inv_freq = self._llama3(inv_freq)
        elif self.rope_type == "yarn":
            inv_freq = self._yarn(wavelengths)
        elif self.rope_type == "longrope":
            long = capacity > self.original_max_position_embeddings
            factors = np.array(self.long_factor if long else self.short_factor, np.float32)
            inv_freq = np.float32(1) / (factors * wavelengths)
        return inv_freq.astype(np.float32), self.attention_factor

    def _llama3(self, inv_freq: Floats) -> Floats:
        """Short waves stay, long ones are stretched, those between are blended."""
        length, low, high = (
            self.original_max_position_embeddings,
            self.low_freq_factor,
            self.high_freq_factor,
        )
        waves = 2 * math.pi / inv_freq
        smooth = (length / waves - low) / (high - low)
        blended = (1 - smooth) * inv_freq / self.factor + smooth * inv_freq
        stretched = np.where(waves > length / low, inv_freq / self.factor, blended)
        return np.where(waves < length / high, inv_freq, stretched)

    def _yarn(self, wavelengths: Floats) -> Floats:
        """Between two numbers of turns in the original length, from stretched to as they were."""
        dim, theta = self.dim, self.rope_theta
        length = self.original_max_position_embeddings

        def pair_of(turns: float) -> float:
            return dim * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(theta))

        low, high = pair_of(self.beta_fast), pair_of(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, dim - 1)
        if low == high:
            high += 0.001
        ramp = np.clip((np.arange(dim // 2, dtype=np.float32) - low) / (high - low), 0, 1)
        kept = 1 - ramp
        return (1 - kept) / (self.factor * wavelengths) + kept / wavelengths


def read_rope(
    config: Mapping[str, Any],
    read: ConfigReader,
    where: str,
    *,
    head_dim: int,
    max_position_embeddings: int,
    rope_theta: float = 10000.0,
    partial: bool = False,
) -> Rope:
    """Of `rope_parameters`, or of `rope_theta` and `rope_scaling` as older files have them.

    partial: the family may turn a part of each head only.
    """
    read.ignore("rope_parameters", "rope_scaling", "rope_theta", "partial_rotary_factor")
    read.ignore("original_max_position_embeddings")
    key = "rope_parameters" if config.get("rope_parameters") else "rope_scaling"
    refuse_two_scalings(config, read)
    given = config.get(key) or {}
    if not isinstance(given, dict):
        raise read.error(key, f"expected an object, got {given!r}")
    if any(isinstance(value, dict) for value in given.values()):
        raise read.error(key, "one for each kind of layer is not supported in this family")
    share = given.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    if share not in (None, 1) and not partial:
        raise read.error("partial_rotary_factor", f"{share!r} is not supported in this family")
    outer = {
        name: config[name]
        for name in ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
        if config.get(name) is not None
    }
    return rope_of(
        {**outer, **given},
        f"{where}: {key}",
        head_dim=head_dim,
        max_position_embeddings=max_position_embeddings,
        rope_theta=rope_theta,
        original=config.get("original_max_position_embeddings"),
    )


def refuse_two_scalings(config: Mapping[str, Any], read: ConfigReader) -> None:
    """Where both generations are in a file, they must say the same."""
    old, new = config.get("rope_scaling"), config.get("rope_parameters")
    if old and new and old != new:
        raise read.error("rope_scaling", "differs from 'rope_parameters'; remove one of them")


def rope_of(
    parameters: Mapping[str, Any],
    where: str,
    *,
    head_dim: int,
    max_position_embeddings: int,
    rope_theta: float,
    original: object = None,
) -> Rope:
    """One set of parameters, whatever generation spelt it. Raises ConfigError naming the key.

    original: `original_max_position_embeddings` from outside, which goes first (as in Phi-3).
    """
    read = ConfigReader(parameters, where)
    rope_type = read.get("rope_type", read.get("type", "default"))
    rope_type = {"su": "longrope"}.get(rope_type, rope_type)  # Phi-3's older name
    if rope_type not in TYPES:
        raise read.error("rope_type", f"expected one of {', '.join(TYPES)}; got {rope_type!r}")
    share = read.get("partial_rotary_factor", 1.0, at_least=0, at_most=1)
    dim = int(head_dim * share)
    if dim < 2 or dim % 2:
        raise read.error(
            "partial_rotary_factor", f"{share:g} of a head of {head_dim} is no whole pairs"
        )
    theta = read.get("rope_theta", float(rope_theta), at_least=1)
    length = read.get("original_max_position_embeddings", max_position_embeddings, at_least=1)
    if type(original) is int:
        length = original
    factor = read.get("factor", 0.0, at_least=0)
    values: dict[str, Any] = {}
    if rope_type in ("linear", "dynamic", "llama3") and not factor:
        raise read.error("factor", f"{rope_type} needs one above 0")
    if rope_type == "dynamic" and dim < 4:
        raise read.error("rope_type", f"dynamic needs more than {dim} dimensions")
    if rope_type == "llama3":
        values["low_freq_factor"] = read.get("low_freq_factor", 1.0, at_least=1e-6)
        values["high_freq_factor"] = read.get("high_freq_factor", 4.0)
        if values["high_freq_factor"] <= values["low_freq_factor"]:
            raise read.error("high_freq_factor", "expected more than low_freq_factor")
    if rope_type in ("yarn", "longrope"):
        factor = factor or max_position_embeddings / length
        values["attention_factor"] = _attention_factor(read, rope_type, factor, length)
    if rope_type == "yarn":
        values["beta_fast"] = read.get("beta_fast", 32.0, at_least=1e-6)
        values["beta_slow"] = read.get("beta_slow", 1.0, at_least=1e-6)
        values["truncate"] = read.get("truncate", True)
        if theta <= 1:
            raise read.error("rope_theta", "yarn needs more than 1")
    if rope_type == "longrope":
        for key in ("short_factor", "long_factor"):
            values[key] = _factors(parameters.get(key), read, key, dim // 2)
    read.ignore(*Rope.__dataclass_fields__, "mscale", "mscale_all_dim")  # of the other types
    read.finish()
    return Rope(
        rope_type,
        theta,
        dim,
        max_position_embeddings,
        factor=factor or 1.0,
        original_max_position_embeddings=length,
        **values,
    )


def _attention_factor(read: ConfigReader, rope_type: str, factor: float, length: int) -> float:
    if read.has("attention_factor"):
        return read.get("attention_factor", 1.0, at_least=1e-6)
    if rope_type == "longrope":
        return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(length))
    mscale = read.get("mscale", 0.0)
    mscale_all_dim = read.get("mscale_all_dim", 0.0)

    def scale(by: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * by * math.log(factor) + 1

    return scale(mscale) / scale(mscale_all_dim) if mscale and mscale_all_dim else scale(1)


def _factors(values: object, read: ConfigReader, key: str, pairs: int) -> tuple[float, ...]:
    good = isinstance(values, list) and len(values) == pairs
    if not good or not all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
        for value in values  # type: ignore[attr-defined]
    ):
        raise read.error(key, f"expected {pairs} numbers above 0, got {values!r}")
    return tuple(float(value) for value in values)  # type: ignore[attr-defined]
