"""Which matrices of a model are read as int4 and which as int8: a small JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lapwing.disk import replace_file
from lapwing.errors import ConfigError
from lapwing.quant.recipe import Recipe, parse_dtype
from lapwing.weights.jsonfile import json_type, read_json_object

SUFFIX = ".json"
VERSION = 1


@dataclass(frozen=True)
class Plan:
    """Every matrix is int8, but for those of `int4`; `lapwing.load(…, dtype=plan)` reads them so.

    int4: names of tensors, as the checkpoint has them. measured: what is known of it, for people.
    """

    int4: frozenset[str]
    measured: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def recipe(self) -> Recipe:
        """For loading."""
        return Recipe("int8", self.int4)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Plan:
        """Raises ConfigError for a file that is no plan."""
        content = read_json_object(Path(path), ConfigError)
        version = content.get("lapwing_plan")
        if version != VERSION:
            raise ConfigError(
                f"{path}: expected a plan, with lapwing_plan {VERSION}; got {version!r}. "
                "'lapwing eval MODEL --target-size 2GB --save-plan FILE' makes one."
            )
        names, measured = content.get("int4"), content.get("measured", {})
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"{path}: int4 is {json_type(names)}, expected a list of names.")
        if not isinstance(measured, dict):
            raise ConfigError(f"{path}: measured is {json_type(measured)}, expected an object.")
        return cls(frozenset(names), measured)

    def write(self, path: str | os.PathLike[str]) -> None:
        """The old file or the new one is there at any moment. Raises OSError."""
        content = {
            "lapwing_plan": VERSION,
            "otherwise": "int8",
            "int4": sorted(self.int4),
            "measured": dict(self.measured),
        }
        replace_file(Path(path), json.dumps(content, indent=1).encode() + b"\n")

    def __str__(self) -> str:
        return "mixed"


def recipe_of(dtype: object) -> Recipe:
    """Of a dtype, a Plan, or the path of one. Raises RequestError, ConfigError."""
    if isinstance(dtype, Plan):
        return dtype.recipe
    if isinstance(dtype, os.PathLike):
        return Plan.read(dtype).recipe
    if isinstance(dtype, str) and dtype.endswith(SUFFIX):
        return Plan.read(dtype).recipe
    return Recipe(parse_dtype(dtype))
