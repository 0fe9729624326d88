"""From JSON that anybody may have written to dataclasses: exactly their fields, of their types.

    decode(Status, json.loads(text))      # a Status, or ValueError that names the field

Kinds of fields: finite numbers, words, yes and no, Literal, None, other dataclasses, tuples of one
kind, dicts by words. A whole number is a float where one is expected; nothing else is converted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

D = TypeVar("D")


def decode(kind: type[D], value: object, where: str = "") -> D:
    """The dataclass that a JSON object holds. Raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{where or kind.__name__}: expected an object, got {_shown(value)}")
    hashable: Any = kind  # to the checker, a type of dataclasses may have no hash
    hints = _hints(hashable)
    if strange := sorted(str(name) for name in value.keys() - hints.keys()):
        raise ValueError(f"{where or kind.__name__}: it has no field {', '.join(strange)[:80]}")
    if lost := sorted(hints.keys() - value.keys()):
        raise ValueError(f"{where or kind.__name__}: {', '.join(lost)} is not there")
    return kind(**{name: _of(hints[name], value[name], name) for name in hints})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _of(kind: Any, value: object, where: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(parts, value, where)
    if origin is Literal:
        if isinstance(value, str) and value in parts:
            return value
    elif origin is tuple and isinstance(value, list):
        return tuple(_of(parts[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    elif origin is dict and isinstance(value, dict):
        return {name: _of(parts[1], item, f"{where}.{name}"[:80]) for name, item in value.items()}
    elif isinstance(kind, type) and is_dataclass(kind):
        return decode(kind, value, where)
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _finite(value, where)
    elif kind in (str, bool, int, type(None)) and type(value) is kind:
        return value
    expected = " or ".join(map(str, parts)) if origin is Literal else kind.__name__
    raise ValueError(f"{where}: expected {expected}, got {_shown(value)}")


def _one_of(parts: tuple[Any, ...], value: object, where: str) -> Any:
    error = ValueError(f"{where}: got {_shown(value)}")
    for part in parts:
        try:
            return _of(part, value, where)
        except ValueError as refused:
            if part is not type(None):
                error = refused
    raise error


def _finite(value: float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{where}: expected a finite number, got {_shown(value)}")
    return number


def _shown(value: object) -> str:
    """Short, whatever it is."""
    return repr(value)[:40] if isinstance(value, (str, float, bool, type(None))) else _kind(value)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", int: "a whole number"}
    return names.get(type(value), type(value).__name__)
