"""Which token ids end a text, from a model's configuration files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lapwing.errors import ConfigError


def eos_token_ids(
    checkpoint_config: Mapping[str, Any], generation_config: Mapping[str, Any]
) -> frozenset[int]:
    """`eos_token_id` (an id or a list) of the generation configuration, else of the other.

    Empty if neither has one. Raises ConfigError for anything that is not an id.
    """
    for file, config in (
        ("generation_config.json", generation_config),
        ("config.json", checkpoint_config),
    ):
        value = config.get("eos_token_id")
        if value is None:
            continue
        ids = value if isinstance(value, list) else [value]
        if not all(type(token) is int and token >= 0 for token in ids):
            raise ConfigError(
                f"{file}: eos_token_id is {value!r}, expected a token id ≥ 0 or a list of them."
            )
        return frozenset(ids)
    return frozenset()
