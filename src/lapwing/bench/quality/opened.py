"""The models of an evaluation: each loaded once, whatever number of precisions is asked of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lapwing.engine.encoder_heads import HeadedEncoder
from lapwing.engine.load import inspect, load
from lapwing.engine.model import Model
from lapwing.errors import RequestError
from lapwing.quant.recipe import Recipe, parse_dtype
from lapwing.weights.plan import Plan, recipe_of

Name = str | os.PathLike[str]


@dataclass(frozen=True)
class Opened:
    """A model at one precision. title: of the model; dtype: as it was asked for, for people."""

    title: str
    dtype: str
    precision: str
    model: Model
    held_bytes: int | None

    @property
    def label(self) -> str:
        """`'tales int4'`."""
        return f"{self.title} {self.dtype}"

    @property
    def kind(self) -> str:
        """`causal` or `encoder`."""
        return "encoder" if isinstance(self.model, HeadedEncoder) else "causal"


class Models:
    """Use it in a `with` statement: what it loaded is closed behind it."""

    def __init__(self, **loading: Any) -> None:
        """loading: arguments of `load` for all of them."""
        self._loading, self._stack = loading, ExitStack()
        self._held: dict[tuple[str, Recipe], Model] = {}

    def open(self, model: Name | Model, dtype: object) -> Opened:
        """Raises what `load` raises, and RequestError for what a loaded model does not serve."""
        if isinstance(model, Model):
            return _as_it_is(model, dtype)
        recipe = recipe_of(dtype)
        # A load as int8 serves int4, too, bit by bit what a load as int4 does.
        wanted = "int8" if recipe.precision == "int4" else dtype
        key = (os.fspath(model), recipe_of(wanted))
        held = self._held.get(key)
        if held is None:
            held = self._stack.enter_context(load(model, wanted, **self._loading))
            self._held[key] = held
        return Opened(
            title_of(model), dtype_name(dtype), recipe.precision, held, held_bytes(model, dtype)
        )

    def __enter__(self) -> Models:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def _as_it_is(model: Model, dtype: object) -> Opened:
    precision = model.dtype if dtype is None else str(dtype)
    if precision != model.dtype:
        precision = parse_dtype(precision)
    if precision not in model.precisions:
        raise RequestError(
            f"dtype: the model was loaded as {model.dtype} and serves "
            f"{', '.join(model.precisions)}; got {precision}. Give its name instead, to have it "
            "loaded at any dtype."
        )
    held = model.estimate_memory_usage() if precision == model.dtype else None
    return Opened(model.config.model_type, precision, precision, model, held)


def held_bytes(model: Name, dtype: object) -> int:
    """Of all weights, as a load at this dtype holds them; none is read."""
    _, ops, checkpoint = inspect(model, dtype)
    with checkpoint:
        return sum(parameter.held_bytes for parameter in ops.parameters)


def title_of(model: Name | Model) -> str:
    """What people know it by."""
    if isinstance(model, Model):
        return model.config.model_type
    name = os.fspath(model)
    return Path(name).name if Path(name).exists() else name


def dtype_name(dtype: object) -> str:
    """`'int4'`, or a plan's file."""
    if isinstance(dtype, (Plan, os.PathLike)) or str(dtype).endswith(".json"):
        return str(dtype)
    return parse_dtype(dtype)


def as_dtypes(dtype: object) -> list[object]:
    """`'f32,int4'` → `['f32', 'int4']`; a list, or one of anything else, as it is."""
    if isinstance(dtype, str):
        found: Iterable[object] = [each.strip() for each in dtype.split(",") if each.strip()]
    elif isinstance(dtype, Sequence):
        found = dtype
    else:
        found = [dtype]
    dtypes = {each if isinstance(each, Plan) else dtype_name(each): each for each in found}
    if not dtypes:
        raise RequestError(f"dtype: expected at least one, got {dtype!r}")
    return list(dtypes.values())
