"""What a model consists of and what a dtype makes of it, from file headers alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from lapwing.engine.load import inspect
from lapwing.layers.parameter import SMALL_TABLES, Parameter
from lapwing.place import Place


@dataclass(frozen=True)
class TensorLine:
    """One stored tensor: as the file has it, and as it would be held."""

    name: str
    role: str
    shape: tuple[int, ...]
    stored_dtype: str
    stored_bytes: int
    held_as: str
    in_place: bool
    held_bytes: int


@dataclass(frozen=True)
class Amount:
    """Bytes that stand for so many weights."""

    nbytes: int
    weights: int
    bits_per_weight: float

    @classmethod
    def of(cls, nbytes: int, weights: int) -> Amount:
        """With the quotient."""
        return cls(nbytes, weights, 8 * nbytes / weights if weights else 0.0)


@dataclass(frozen=True)
class Inventory:
    """A model at a dtype. Every tensor counts once, a tied one, too.

    read_per_token: by precision, what decoding one token reads; of embeddings, one row.
    """

    directory: Place
    model_type: str
    config: dict[str, Any]
    context_length: int
    vocab_size: int
    dtype: str
    tied: tuple[str, ...]
    recipe: tuple[tuple[str, str, str], ...]  # kind of weight, stored, read
    tensors: tuple[TensorLine, ...]
    stored: Amount
    resident: Amount
    read_per_token: dict[str, Amount]


def take_inventory(
    name_or_path: str | os.PathLike[str], dtype: object = "auto", revision: str | None = None
) -> Inventory:
    """No weight is read. Raises what `load` raises before it reads one."""
    network, ops, checkpoint = inspect(name_or_path, dtype, revision)
    with checkpoint:
        parameters, recipe = ops.parameters, ops.recipe
        weights = sum(p.N * p.K for p in parameters)
        return Inventory(
            directory=checkpoint.directory,
            model_type=network.config.model_type,
            config=asdict(network.config),  # type: ignore[call-overload]
            context_length=network.config.context_length,
            vocab_size=network.config.vocab_size,
            dtype=recipe.precision,
            tied=tuple(p.tensor.name for p in parameters if p.role == "tied"),
            recipe=tuple(recipe.rows()),
            tensors=tuple(map(_line, parameters)),
            stored=Amount.of(sum(p.tensor.nbytes for p in parameters), weights),
            resident=Amount.of(sum(p.held_bytes for p in parameters), weights),
            read_per_token={
                precision: read_per_token(parameters, precision) for precision in recipe.precisions
            },
        )


def read_per_token(parameters: Iterable[Parameter], precision: str) -> Amount:
    """Bytes that decoding a token reads, and the weights they are."""
    nbytes = weights = 0
    for p in parameters:
        nbytes += p.bytes_per_token(precision)
        weights += p.K if p.role in ("embedding", *SMALL_TABLES) else p.N * p.K
    return Amount.of(nbytes, weights)


def _line(p: Parameter) -> TensorLine:
    return TensorLine(
        name=p.tensor.name,
        role=p.role,
        shape=p.tensor.shape,
        stored_dtype=p.stored_dtype,
        stored_bytes=p.tensor.nbytes,
        held_as=p.held_dtype,
        in_place=p.in_place,
        held_bytes=p.held_bytes,
    )
