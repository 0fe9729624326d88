"""JSON from files nobody vouches for: each way one can be wrong has a message of its own."""

from __future__ import annotations

import json
from typing import Any

from lapwing.errors import LapwingError
from lapwing.place import Place

MAX_BYTES = 64 << 20  # the largest shard index known is under 1 MiB


def read_json_object(path: Place, error: type[LapwingError]) -> dict[str, Any]:
    """The object in a UTF-8 JSON file; raises `error`, naming the file, for anything else."""
    value = _read_json(path, error)
    if not isinstance(value, dict):
        raise error(f"{path}: expected a JSON object {{…}}, found {json_type(value)}.")
    return value


def read_json_objects(path: Place, error: type[LapwingError]) -> list[dict[str, Any]]:
    """The list of objects in a UTF-8 JSON file; raises `error` for anything else."""
    value = _read_json(path, error)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise error(f"{path}: expected a JSON list of objects [{{…}}], found {json_type(value)}.")
    return value


def _read_json(path: Place, error: type[LapwingError]) -> Any:
    try:
        if path.is_dir():
            raise error(f"{path}: expected a JSON file, found a directory.")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise error(f"{path}: {size} bytes; such a file holds a few kilobytes of JSON.")
        raw = path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file. {_COMPLETE}") from None
    except PermissionError:
        raise error(f"{path}: no permission to read it. Change the file's permissions.") from None
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror or problem}).") from None
    if not raw.strip():
        raise error(f"{path}: the file is empty. {_COMPLETE}")
    try:
        value = parse_json(raw)
    except UnicodeDecodeError as problem:
        raise error(
            f"{path}: not UTF-8 text (byte {problem.start} is 0x{raw[problem.start]:02x}). "
            "Save it as UTF-8 without a byte order mark."
        ) from None
    except ValueError as problem:
        raise error(f"{path}: not valid JSON: {problem}. {_COMPLETE}") from None
    return value


_COMPLETE = "Perhaps the download or copy is incomplete: fetch the file again."


def parse_json(raw: bytes) -> Any:
    """Parse UTF-8 JSON; repeated keys and too deep nesting are errors too.

    Raises ValueError (UnicodeDecodeError is one) and nothing else.
    """
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_no_repeated_key)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_repeated_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key!r} appears twice")
            seen.add(key)
    return found


def json_type(value: object) -> str:
    """What JSON calls a parsed value, for messages: `[1]` → `'a list'`."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return names.get(type(value), "null" if value is None else "a number")
