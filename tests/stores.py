"""Stores that tests look into, and change without their checksum telling."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lapwing.backends.checksum import crc32c
from lapwing.weights.store.format import HEADER_CRC_KEY, NO_CRC

Header = dict[str, Any]
_CRC = re.compile(rf'"{re.escape(HEADER_CRC_KEY)}":"[0-9a-f]{{8}}"'.encode())


def store_in(cache: Path) -> Path:
    """The only store of a cache folder."""
    (found,) = (cache / "stores").glob("*.safetensors")
    return found


def drafts_in(cache: Path) -> list[str]:
    """Stores that are not finished."""
    return sorted(path.name for path in (cache / "stores").glob(".*.draft"))


def header_of(raw: bytes) -> Header:
    """As JSON has it."""
    header: Header = json.loads(raw[8 : data_begin(raw)])
    return header


def data_begin(raw: bytes) -> int:
    """Offset of the first data byte."""
    return 8 + int.from_bytes(raw[:8], "little")


def sealed(text: bytes, room: int) -> bytes:
    """A header of this JSON text, `room` bytes long, with the checksum that is right for it."""
    text = text.ljust(room - 8)
    raw = len(text).to_bytes(8, "little") + text
    raw = _CRC.sub(f'"{HEADER_CRC_KEY}":"{NO_CRC}"'.encode(), raw, count=1)
    code = f'"{HEADER_CRC_KEY}":"{crc32c(raw):08x}"'.encode()
    return raw.replace(f'"{HEADER_CRC_KEY}":"{NO_CRC}"'.encode(), code, 1)


def change_header(path: Path, change: Callable[[Header], None]) -> None:
    """The header is another, and its checksum right; data stays where it is."""
    raw = path.read_bytes()
    header = header_of(raw)
    change(header)
    text = json.dumps(header, separators=(",", ":")).encode()
    begin = data_begin(raw)
    path.write_bytes(sealed(text, begin) + raw[begin:])


def change_metadata(path: Path, key: str, change: Callable[[Any], Any]) -> None:
    """One entry that is JSON itself; `change` gives the new one, or changes the old in place."""

    def edit(header: Header) -> None:
        metadata = header["__metadata__"]
        value = json.loads(metadata[key])
        changed = change(value)
        metadata[key] = json.dumps(value if changed is None else changed)

    change_header(path, edit)


def flip(path: Path, at: int, bit: int) -> None:
    """One bit of a file; again, and it is as it was."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << bit)]))
