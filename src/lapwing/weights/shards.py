"""The index of a checkpoint in several files: which shard holds which tensor."""

from __future__ import annotations

from pathlib import Path

from lapwing.errors import WeightsError
from lapwing.weights.files import exists
from lapwing.weights.jsonfile import json_type, read_json_object


def read_shard_index(path: Path) -> dict[str, str]:
    """Tensor name → shard file name, all of them present beside the index; raises WeightsError."""
    weight_map = read_json_object(path, WeightsError).get("weight_map")
    if not isinstance(weight_map, dict):
        found = "nothing" if weight_map is None else json_type(weight_map)
        raise WeightsError(
            f"{path}: expected 'weight_map', an object from tensor to shard; found {found}."
        )
    if not weight_map:
        raise WeightsError(f"{path}: 'weight_map' is empty. Fetch the index again.")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not shard:
            raise WeightsError(f"{path}: {name!r} is in {shard!r}, expected the name of a shard.")
        if shard in (".", "..") or any(mark in shard for mark in ("/", "\\", ":", "\0")):
            raise WeightsError(
                f"{path}: {name!r} is in {shard!r}, outside the model's directory. "
                "An index may name only files beside it; do not trust this one."
            )
        if not shard.endswith(".safetensors"):
            raise WeightsError(
                f"{path}: {name!r} is in {shard!r}, which is not a safetensors file. "
                "A shard index may name neither itself nor another index."
            )
    shards = sorted(set(weight_map.values()))
    missing = [repr(shard) for shard in shards if not exists(path.parent / shard)]
    if missing:
        raise WeightsError(
            f"{path}: {len(missing)} of {len(shards)} shards are missing: {', '.join(missing)}. "
            "The download is incomplete: fetch them again."
        )
    return weight_map
