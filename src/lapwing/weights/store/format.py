"""What a plane store's file looks like: areas, pads, and a header that proves itself.

A safetensors container. Its tensors lie in areas, each on a border of 64 KiB and each mapped on its
own, tensors in them on 64 bytes; what lies between is tensors, too (`pad/…`), since the format
allows no gaps. Names say what a tensor holds:

    file/NAME     bytes of a small file: configuration, tokenizer
    base/NAME     base plane [row groups, bytes], its factors/NAME [row groups, 2]
    refine/NAME   refine plane [row groups, bytes]
    float/NAME    floats as passes read them, in the shape of the checkpoint

`__metadata__` has the version, the table of the checkpoint's tensors, the source, a CRC-32C of each
tensor in the order of the file (pads, too), and one of the header, taken with zeros in its place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lapwing.quant import scheme
from lapwing.weights.jsonfile import parse_json
from lapwing.weights.safetensors import MAX_NBYTES, NUMPY_DTYPES

VERSION = "1"
AREA_BYTES = 65536  # a multiple of every page size in use
TENSOR_BYTES = 64  # a cache line
# In the order of the file. vectors: norms and biases, which a start reads. lookups: refine planes
# that every precision reads a few rows of.
AREAS = ("files", "vectors", "base", "lookups", "refine")
# What a tensor is kept as; turned: the floats of a [K, N] matrix as [N, K], output after output.
PLANES, FLOATS, TURNED = "planes", "floats", "turned floats"

KEY = "lapwing."
VERSION_KEY, TABLE_KEY, SOURCE_KEY = KEY + "version", KEY + "tensors", KEY + "source"
SCHEME_KEY, AREAS_KEY, BOOT_KEY = KEY + "scheme", KEY + "areas", KEY + "boot"
CRCS_KEY, HEADER_CRC_KEY = KEY + "crc32c", KEY + "header_crc32c"
NO_CRC = "0" * 8
_HEADER_CRC = re.compile(rb'"lapwing\.header_crc32c":"([0-9a-f]{8})"')


@dataclass(frozen=True)
class Piece:
    """A tensor of the file, before it has a place."""

    name: str
    dtype: str  # as safetensors spells it
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Of its data."""
        return math.prod(self.shape) * NUMPY_DTYPES[self.dtype].itemsize


@dataclass(frozen=True)
class Placed(Piece):
    """A piece at its place, counted from the first data byte."""

    begin: int = 0

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.begin + self.nbytes


@dataclass(frozen=True)
class Layout:
    """Every piece, pads included, in the order of the file; where areas begin and end."""

    pieces: tuple[Placed, ...]
    areas: dict[str, tuple[int, int]]

    @property
    def nbytes(self) -> int:
        """Of all data."""
        return self.pieces[-1].end if self.pieces else 0


def lay_out(areas: Mapping[str, Sequence[Piece]]) -> Layout:
    """Gives every piece its place; areas without any are left out."""
    placed: list[Placed] = []
    spans: dict[str, tuple[int, int]] = {}
    at = 0

    def align(to: int) -> int:
        gap = -at % to
        if gap:
            placed.append(Placed(f"pad/{len(placed)}", "U8", (gap,), at))
        return at + gap

    for area in AREAS:
        pieces = areas.get(area, ())
        if not pieces:
            continue
        at = begin = align(AREA_BYTES)
        for piece in pieces:
            at = align(TENSOR_BYTES)
            placed.append(Placed(piece.name, piece.dtype, piece.shape, at))
            at += piece.nbytes
        spans[area] = (begin, at)
    return Layout(tuple(placed), spans)


@dataclass(frozen=True)
class TableEntry:
    """A tensor of the checkpoint: what it was there, and how and where it is kept here.

    at: the name its pieces go by; that of another tensor where both are equal. lookup: its refine
    plane is in that area. digest: of its pieces' bytes, to find equal ones in other stores.
    """

    kept: str
    dtype: str
    shape: tuple[int, ...]
    layout: str
    at: str
    lookup: bool = False
    digest: str = ""


@dataclass(frozen=True)
class Contents:
    """What the metadata of a store says."""

    scheme: str  # "planes", or a float dtype
    table: dict[str, TableEntry]
    source: dict[str, Any]
    boot: str | None  # of the system that wrote it
    areas: dict[str, tuple[int, int]] = field(default_factory=dict)


def make_header(layout: Layout, contents: Contents, crcs: Sequence[int] | None) -> bytes:
    """Length and JSON, padded so that data begins on an area's border.

    Always as long, whatever the crcs and digests (None: zeros in their place).
    """
    from lapwing.backends.checksum import crc32c

    table = {
        name: [
            entry.kept,
            entry.dtype,
            list(entry.shape),
            entry.layout,
            entry.at,
            entry.lookup,
            entry.digest or "0" * 32,
        ]
        for name, entry in contents.table.items()
    }
    codes = [0] * len(layout.pieces) if crcs is None else crcs
    metadata = {
        "format": "lapwing-planes",
        VERSION_KEY: VERSION,
        SCHEME_KEY: contents.scheme,
        BOOT_KEY: contents.boot or "",
        AREAS_KEY: json.dumps(layout.areas),
        SOURCE_KEY: json.dumps(contents.source),
        TABLE_KEY: json.dumps(table),
        CRCS_KEY: " ".join(f"{code:08x}" for code in codes),
        HEADER_CRC_KEY: NO_CRC,
    }
    header: dict[str, Any] = {"__metadata__": metadata}
    for piece in layout.pieces:
        header[piece.name] = {
            "dtype": piece.dtype,
            "shape": piece.shape,
            "data_offsets": [piece.begin, piece.end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % AREA_BYTES)
    raw = len(text).to_bytes(8, "little") + text
    code = f'"{HEADER_CRC_KEY}":"{crc32c(raw):08x}"'.encode()
    return raw.replace(f'"{HEADER_CRC_KEY}":"{NO_CRC}"'.encode(), code, 1)


def header_is_whole(raw: bytes) -> bool:
    """Whether a header is what was written, by its own checksum."""
    from lapwing.backends.checksum import crc32c

    found = _HEADER_CRC.search(raw)
    if found is None:
        return False
    begin, end = found.span(1)
    return crc32c(raw[:begin] + NO_CRC.encode() + raw[end:]) == int(found[1], 16)


def read_contents(metadata: Mapping[str, str]) -> Contents:
    """Raises KeyError and ValueError for what `make_header` does not write."""
    table, areas, source = (
        _object(key, metadata[key]) for key in (TABLE_KEY, AREAS_KEY, SOURCE_KEY)
    )
    for name, span in areas.items():
        if not _are_counts(span) or len(span) != 2:
            raise ValueError(f"area {name!r} is {_shorten(span)}")
    return Contents(
        metadata[SCHEME_KEY],
        {name: _entry(name, fields) for name, fields in table.items()},
        source,
        metadata[BOOT_KEY] or None,
        {name: (begin, end) for name, (begin, end) in areas.items()},
    )


def _object(key: str, text: str) -> dict[str, Any]:
    value = parse_json(text.encode("utf-8", "surrogatepass"))
    if not isinstance(value, dict):
        raise ValueError(f"{key} is no object")
    return value


def _entry(name: str, fields: Any) -> TableEntry:
    match fields:
        case [str(kept), str(dtype), list(shape), str(layout), str(at), bool(lookup), str(digest)]:
            sound = kept in (PLANES, FLOATS, TURNED) and layout in ("nk", "kn")
            sound = sound and _are_counts(shape) and (kept != TURNED or len(shape) == 2)
            if sound and dtype in NUMPY_DTYPES and math.prod(shape) <= MAX_NBYTES:
                return TableEntry(kept, dtype, tuple(shape), layout, at, lookup, digest)
    raise ValueError(f"{name!r} is {_shorten(fields)}")


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:199] + "…"


def pieces_of(entry: TableEntry) -> list[tuple[str, tuple[str, ...], tuple[int, ...]]]:
    """Name, possible dtypes and shape of each piece; a refine plane, the last, may be left out.

    Raises ValueError for planes of what is no matrix.
    """
    if entry.kept == FLOATS:
        return [(f"float/{entry.at}", ("F32", "F16", "BF16"), entry.shape)]
    if entry.kept == TURNED:
        return [(f"float/{entry.at}", ("F32", "F16", "BF16"), entry.shape[::-1])]
    if len(entry.shape) != 2:
        raise ValueError(f"planes of {entry.at!r}, which is {list(entry.shape)}")
    N, K = entry.shape if entry.layout == "nk" else entry.shape[::-1]
    rows = scheme.row_group_count(N)
    return [
        (f"base/{entry.at}", ("U8",), (rows, scheme.base_stride(K))),
        (f"factors/{entry.at}", ("F32",), (rows, 2)),
        (f"refine/{entry.at}", ("U8",), (rows, scheme.refine_stride(K))),
    ]


def read_crcs(metadata: Mapping[str, str]) -> list[int]:
    """In the order of the file; raises ValueError."""
    return [int(code, 16) for code in metadata[CRCS_KEY].split()]
