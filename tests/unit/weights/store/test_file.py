"""Stores that are damaged, or lie: every flipped bit is found, and nothing but an error comes out.

Where a header is changed here its checksum is made right again, so that what stands behind it has
to find the fault.
"""

from __future__ import annotations

import json
import os
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import TinyModels
from stores import (
    Header,
    change_header,
    change_metadata,
    data_begin,
    flip,
    header_of,
    sealed,
    store_in,
)
from tiny import random_ids

import lapwing
from lapwing import LapwingError, WeightsError
from lapwing.weights.store import format as store_format
from lapwing.weights.store import shelf
from lapwing.weights.store.file import StoreFile, is_store

TABLE, AREAS, SOURCE = (
    store_format.TABLE_KEY,
    store_format.AREAS_KEY,
    store_format.SOURCE_KEY,
)
MATRIX, NORM = "transformer.h.0.mlp.c_fc.weight", "transformer.h.1.ln_1.weight"
EMBEDDING = "transformer.wte.weight"
IDS = random_ids(3, 6, 61)
LOADS = ("mapped", "lazy", "progressive", "eager")


@pytest.fixture(scope="module")
def sound(tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store of 300 KB."""
    cache = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPWING_CACHE", str(cache))
        lapwing.load(tiny_models.directory("prime"), threads=1).close()
    return store_in(cache).read_bytes()


@pytest.fixture
def path(sound: bytes, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    copied = tmp_path / "copied.safetensors"
    copied.write_bytes(sound)
    return copied


@contextmanager
def opened(path: Path) -> Iterator[StoreFile]:
    store = StoreFile(path)
    try:
        yield store
    finally:
        store.close()


def answers(path: Path, load: str, dtype: str = "int8") -> np.ndarray[Any, Any]:
    """Everything a model reads, of the file alone."""
    with lapwing.load(path, dtype=dtype, threads=1, load=load) as model:
        logits = model.forward(IDS)
        if model.loading is not None:
            model.loading.wait()
        return logits


def refusal(path: Path, load: str = "mapped", dtype: str = "int8") -> str:
    """What is said, naming the file."""
    with pytest.raises(LapwingError) as caught:
        answers(path, load, dtype)
    text = str(caught.value)
    assert str(path) in text
    assert len(text) < 1500
    assert not isinstance(caught.value, MemoryError)
    return text


def holders(raw: bytes) -> Callable[[int], str | None]:
    """Byte of the file → the tensor that holds it, by the header's JSON; None for the header."""
    begin = data_begin(raw)
    entries = {name: entry for name, entry in header_of(raw).items() if name != "__metadata__"}
    spans = sorted((*entry["data_offsets"], name) for name, entry in entries.items())
    starts = [begin + span[0] for span in spans]

    def holder(at: int) -> str | None:
        if at < begin:
            return None
        first, last, name = spans[bisect_right(starts, at) - 1]
        assert begin + first <= at < begin + last
        return name

    return holder


# Bits.


def test_every_flipped_bit_is_found(path: Path, sound: bytes) -> None:
    """In the header, in its padding, in files, planes and the pads between them."""
    holder, rng = holders(sound), random.Random(1)
    begin = data_begin(sound)
    text_end = len(sound[:begin].rstrip(b" "))
    places = [rng.randrange(len(sound)) for _ in range(500)]
    places += [rng.randrange(text_end) for _ in range(150)]
    places += [rng.randrange(text_end, begin) for _ in range(50)]
    places += list(range(8))  # the length of the header
    tensors = [span for name, span in header_of(sound).items() if name != "__metadata__"]
    for entry in rng.sample(tensors, 60):
        first, last = entry["data_offsets"]
        places += [begin + first, begin + last - 1, begin + rng.randrange(first, last)] * 2
    assert len(places) >= 1000
    assert len({holder(at) for at in places}) > 60
    for at in places:
        bit = rng.randrange(8)
        flip(path, at, bit)
        if holder(at) is None:
            with pytest.raises(WeightsError, match=path.name):
                StoreFile(path)
        else:
            with opened(path) as store:
                assert store.damaged() == [holder(at)], (at, bit)
        flip(path, at, bit)
    assert path.read_bytes() == sound


@pytest.mark.parametrize("piece", [f"base/{MATRIX}", f"factors/{MATRIX}", f"float/{NORM}"])
@pytest.mark.parametrize("load", ["eager", "progressive"])
@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_loads_that_read_name_the_damaged_tensor(
    path: Path, piece: str, load: str, dtype: str
) -> None:
    with opened(path) as store:
        info = store.tensors[piece]
    flip(path, info.end - 1, 3)
    text = refusal(path, load, dtype)
    assert f"{piece!r} is not what was written" in text
    assert "lapwing pack MODEL -o FILE" in text


@pytest.mark.parametrize("load", ["eager", "progressive"])
def test_refine_planes_are_proven_where_they_are_read(path: Path, load: str) -> None:
    with opened(path) as store:
        flip(path, store.tensors[f"refine/{MATRIX}"].begin, 0)
    assert f"'refine/{MATRIX}' is not what was written" in refusal(path, load)
    with opened(path) as store:  # an embedding's is, whatever the precision
        flip(path, store.tensors[f"refine/{EMBEDDING}"].begin, 0)
    assert f"'refine/{EMBEDDING}' is not what was written" in refusal(path, load, "int4")


def test_an_int4_load_does_not_read_what_it_does_not_use(path: Path, sound: bytes) -> None:
    with opened(path) as store:
        flip(path, store.tensors[f"refine/{MATRIX}"].begin, 0)
    for load in ("eager", "progressive"):
        damaged = answers(path, load, "int4")
        path.with_name("sound").write_bytes(sound)
        assert np.array_equal(damaged, answers(path.with_name("sound"), load, "int4"))


def test_a_small_file_is_proven_when_it_is_read(path: Path) -> None:
    with opened(path) as store:
        flip(path, store.tensors["file/config.json"].begin + 4, 1)
    for load in LOADS:
        assert "'file/config.json' is not what was written" in refusal(path, load)


# Files that are no stores.


def test_truncated_anywhere(path: Path, sound: bytes) -> None:
    begin = data_begin(sound)
    lengths = [0, 1, 7, 8, 9, 100, begin - 1, begin, begin + 1, len(sound) - 1]
    lengths += [round(i * len(sound) / 50) for i in range(50)]
    for length in lengths:
        path.write_bytes(sound[:length])
        with pytest.raises(WeightsError) as caught:
            StoreFile(path)
        assert str(caught.value).startswith(f"{path}: "), length
        assert len(str(caught.value)) < 600
        refusal(path)


def test_longer_than_it_says(path: Path, sound: bytes) -> None:
    """What stands behind is nobody's, and read by nobody."""
    expected = answers(path, "eager")
    path.write_bytes(sound + b"more")
    assert np.array_equal(answers(path, "eager"), expected)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**10, 100_000_001])
def test_a_header_that_claims_to_be_huge(path: Path, sound: bytes, length: int) -> None:
    path.write_bytes(length.to_bytes(8, "little") + sound[8:])
    assert f"the header claims {length} bytes" in refusal(path)
    os.truncate(path, 1 << 37)  # sparse: there is as much as it claims, or more
    with pytest.raises(WeightsError, match="the header"):
        StoreFile(path)


def test_not_a_store(tmp_path: Path, tiny_models: TinyModels) -> None:
    other = tiny_models.directory("prime") / "model.safetensors"
    assert not is_store(other)
    with pytest.raises(WeightsError, match="a safetensors file, but no plane store"):
        StoreFile(other)
    (tmp_path / "text").write_text("lapwing.version is what this file says")
    assert is_store(tmp_path / "text")
    assert "text" in refusal(tmp_path / "text")
    (tmp_path / "empty").write_bytes(b"")
    for path in (other, tmp_path / "empty"):
        refusal(path)


def test_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # opening one would wait for a writer
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("folder", "pipe", "loop", "none", "x" * 300, "nul\0"):
        with pytest.raises(WeightsError) as caught:
            StoreFile(tmp_path / name)
        assert name in str(caught.value)
        if name != "nul\0":
            assert not is_store(tmp_path / name) or name == "pipe"
        with pytest.raises(LapwingError):
            lapwing.load(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(path: Path) -> None:
    path.chmod(0)
    with pytest.raises(WeightsError, match="Permission denied"):
        StoreFile(path)


# Headers that lie.


def entry(name: str, **changes: Any) -> Callable[[Path], None]:
    """Of a tensor of the file."""
    return lambda path: change_header(path, lambda header: header[name].update(changes))


def metadata(key: str, value: object) -> Callable[[Path], None]:
    """`value` itself in place of an entry; None takes it out."""

    def change(header: Header) -> None:
        header["__metadata__"][key] = value
        if value is None:
            del header["__metadata__"][key]

    return lambda path: change_header(path, change)


def table(name: str, at: int, value: object) -> Callable[[Path], None]:
    """A field of a tensor of the checkpoint."""

    def change(entries: Any) -> None:
        entries[name][at] = value

    return lambda path: change_metadata(path, TABLE, change)


KEPT, DTYPE, SHAPE, LAYOUT, AT, LOOKUP, DIGEST = range(7)


def area(name: str, *span: object) -> Callable[[Path], None]:
    return lambda path: change_metadata(path, AREAS, lambda areas: {**areas, name: list(span)})


def source(**changes: object) -> Callable[[Path], None]:
    return lambda path: change_metadata(path, SOURCE, lambda values: values | changes)


def drop(name: str) -> Callable[[Path], None]:
    def change(header: Header) -> None:
        del header[name]
        codes = header["__metadata__"][store_format.CRCS_KEY].split()
        header["__metadata__"][store_format.CRCS_KEY] = " ".join(codes[:-1])

    return lambda path: change_header(path, change)


def overlap(path: Path) -> None:
    def change(header: Header) -> None:
        begin, end = header[f"base/{MATRIX}"]["data_offsets"]
        header[f"base/{MATRIX}"]["data_offsets"] = [begin - 64, end - 64]

    change_header(path, change)


def off_the_line(path: Path) -> None:
    """Native code reads with aligned loads."""

    def change(header: Header) -> None:
        begin, end = header[f"float/{NORM}"]["data_offsets"]
        (pad,) = (name for name in header if header[name].get("data_offsets", [0])[0] == end)
        header[f"float/{NORM}"]["data_offsets"] = [begin + 4, end + 4]
        header[pad]["data_offsets"][0] += 4
        header[pad]["shape"][0] -= 4

    change_header(path, change)


def half_a_norm(path: Path) -> None:
    def change(header: Header) -> None:
        begin, end = header[f"float/{NORM}"]["data_offsets"]
        header[f"float/{NORM}"].update(dtype="BF16", data_offsets=[begin, (begin + end) // 2])

    change_header(path, change)


def alias_loop(path: Path) -> None:
    """Each says that the other keeps it, and neither is kept under a name of its own."""
    other = "transformer.h.1.mlp.c_fc.weight"

    def change(entries: Any) -> None:
        entries[MATRIX][AT], entries[other][AT] = "a", "b"
        entries["a"], entries["b"] = list(entries[MATRIX]), list(entries[other])
        entries["a"][AT], entries["b"][AT] = "b", "a"

    change_metadata(path, TABLE, change)


def raw_metadata(key: str, text: str) -> Callable[[Path], None]:
    """Text that json.dumps would not write."""

    def change(path: Path) -> None:
        raw = path.read_bytes()
        header = header_of(raw)
        header["__metadata__"][key] = text
        begin = data_begin(raw)
        room = max(begin, 8 + len(json.dumps(header)) + -(8 + len(json.dumps(header))) % 65536)
        text_of = json.dumps(header, separators=(",", ":")).encode()
        path.write_bytes(sealed(text_of, room) + raw[begin:])

    return change


DEEP = "[" * 100_000 + "]" * 100_000
LIES: dict[str, tuple[Callable[[Path], None], str]] = {
    # Spans.
    "overlapping spans": (overlap, "overlap"),
    "a span behind the end": (
        entry(f"refine/{MATRIX}", data_offsets=[10**9, 10**9 + 1280]),
        "ends at byte",
    ),
    "a negative span": (entry(f"base/{MATRIX}", data_offsets=[-64, 0]), "data_offsets"),
    "a shape that is not its span": (entry(f"base/{MATRIX}", shape=[5, 321]), "holds"),
    "an unknown dtype": (entry(f"base/{MATRIX}", dtype="Q4"), "'Q4'"),
    "a tensor beside its line": (off_the_line, f"'float/{NORM}' begins"),
    # Areas.
    "an area behind the end": (area("base", 65536, 10**12), "area 'base'"),
    "an area beside its border": (area("base", 65537, 70000), "area 'base'"),
    "an area of negative size": (area("base", 131072, 65536), "area 'base'"),
    "an area before the data": (area("base", -65536, 65536), "area 'base'"),
    "an area of text": (area("base", "a", "b"), "makes no sense"),
    "an area of one number": (area("base", 65536), "makes no sense"),
    "an area of fractions": (area("base", 65536.5, 131072.5), "makes no sense"),
    "areas that are a list": (raw_metadata(AREAS, "[1, 2]"), "makes no sense"),
    "areas that are nothing": (raw_metadata(AREAS, "null"), "makes no sense"),
    "areas without end": (raw_metadata(AREAS, '{"base": [0, Infinity]}'), "makes no sense"),
    "areas that are deep": (raw_metadata(AREAS, DEEP), "makes no sense"),
    "areas that are no JSON": (raw_metadata(AREAS, "{"), "makes no sense"),
    "no areas at all": (metadata(AREAS, "{}"), "pack the model again"),
    # The table.
    "a table that is a list": (raw_metadata(TABLE, "[]"), "makes no sense"),
    "a table that is deep": (raw_metadata(TABLE, DEEP), "makes no sense"),
    "a table of numbers": (raw_metadata(TABLE, '{"a": 1}'), "makes no sense"),
    "a table with keys twice": (raw_metadata(TABLE, '{"a": 1, "a": 1}'), "makes no sense"),
    "a table of nothing": (metadata(TABLE, "{}"), "missing"),
    "an entry of missing pieces": (table(MATRIX, AT, "none"), "'base/none'"),
    "an entry that is another's": (table(MATRIX, AT, EMBEDDING), f"'base/{EMBEDDING}'"),
    "entries in a loop": (alias_loop, "'base/"),
    "an entry kept in no known way": (table(MATRIX, KEPT, "sparse"), "'sparse'"),
    "an entry that is no list": (
        lambda path: change_metadata(path, TABLE, lambda t: t | {MATRIX: 5}),
        "makes no sense",
    ),
    "planes said to be floats": (table(MATRIX, KEPT, "floats"), f"'float/{MATRIX}'"),
    "floats said to be planes": (table(NORM, KEPT, "planes"), f"planes of {NORM!r}"),
    "an unknown dtype in the table": (table(MATRIX, DTYPE, "Q4"), "'Q4'"),
    "a dtype that is no weight's": (table(MATRIX, DTYPE, "I64"), MATRIX),
    "a shape of the model's, not the pieces'": (table(NORM, SHAPE, [36]), NORM),
    "a matrix turned": (table(MATRIX, SHAPE, [37, 35]), MATRIX),
    "a matrix with its layout turned": (table(MATRIX, LAYOUT, "nk"), MATRIX),
    "a layout nobody knows": (table(MATRIX, LAYOUT, "zigzag"), "'zigzag'"),
    "a shape of three axes": (table(MATRIX, SHAPE, [35, 37, 1]), MATRIX),
    "a shape without axes": (table(NORM, SHAPE, []), NORM),
    "a shape without end": (
        lambda path: raw_metadata(
            TABLE,
            json.dumps(json.loads(header_of(path.read_bytes())["__metadata__"][TABLE])).replace(
                "[35, 37]", "[Infinity, 37]", 1
            ),
        )(path),
        "makes no sense",
    ),
    "a shape of text": (table(MATRIX, SHAPE, "35"), "makes no sense"),
    "a shape that is negative": (table(MATRIX, SHAPE, [-35, -37]), MATRIX),
    "a shape that is too large": (table(MATRIX, SHAPE, [2**70, 2**70]), MATRIX),
    # Pieces of another kind.
    "planes of words": (entry(f"base/{MATRIX}", dtype="F32", shape=[5, 80]), f"base/{MATRIX}"),
    "factors of bytes": (entry(f"factors/{MATRIX}", dtype="U8", shape=[5, 8]), f"factors/{MATRIX}"),
    "factors of whole numbers": (entry(f"factors/{MATRIX}", dtype="I32"), f"factors/{MATRIX}"),
    "a norm of whole numbers": (entry(f"float/{NORM}", dtype="I32"), f"float/{NORM}"),
    "a norm of bytes": (entry(f"float/{NORM}", dtype="U8", shape=[140]), f"float/{NORM}"),
    "a norm that is half as wide": (half_a_norm, NORM),
    "positions of whole numbers": (entry("float/transformer.wpe.weight", dtype="U32"), "wpe"),
    "planes laid out otherwise": (entry(f"base/{MATRIX}", shape=[320, 5]), MATRIX),
    "planes that are one row": (entry(f"base/{MATRIX}", shape=[1600]), MATRIX),
    "a refine plane too few": (drop(f"refine/{MATRIX}"), "base planes only"),
    "a base plane too few": (drop(f"base/{MATRIX}"), f"'base/{MATRIX}'"),
    "an embedding without its refine plane": (drop(f"refine/{EMBEDDING}"), EMBEDDING),
    "no configuration": (drop("file/config.json"), "config.json"),
    # Metadata.
    "a version to come": (metadata(store_format.VERSION_KEY, "2"), "version '2'"),
    "no version": (metadata(store_format.VERSION_KEY, None), "copied.safetensors"),
    "no scheme": (metadata(store_format.SCHEME_KEY, None), "makes no sense"),
    "another scheme": (metadata(store_format.SCHEME_KEY, "f16"), "f16"),
    "an unknown scheme": (metadata(store_format.SCHEME_KEY, "ternary"), "ternary"),
    "no boot id": (metadata(store_format.BOOT_KEY, None), "makes no sense"),
    "no checksums": (metadata(store_format.CRCS_KEY, None), "makes no sense"),
    "a checksum too few": (metadata(store_format.CRCS_KEY, "00000000"), "makes no sense"),
    "checksums of words": (metadata(store_format.CRCS_KEY, "x y z"), "makes no sense"),
    "no source": (metadata(SOURCE, None), "makes no sense"),
    "a source that is a list": (raw_metadata(SOURCE, "[]"), "makes no sense"),
    "an empty source": (raw_metadata(SOURCE, "{}"), "makes no sense"),
    "a source that is deep": (raw_metadata(SOURCE, '{"a":' + DEEP + "}"), "makes no sense"),
    "a source of unknown size": (source(nbytes="many"), "makes no sense"),
    "a source without end": (source(nbytes=float("inf")), "makes no sense"),
    "a source of refs that are none": (source(refs=5), "makes no sense"),
    "metadata that are no text": (metadata(TABLE, 5), "makes no sense"),
}


@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie(path: Path, lie: str) -> None:
    change, words = LIES[lie]
    change(path)
    for load in LOADS:
        assert words in refusal(path, load), load


def test_a_place_that_is_none_is_no_crash(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a model was is only a remark: the store runs alone, and is listed."""
    expected = answers(path, "eager")
    monkeypatch.setenv("LAPWING_CACHE", str(path.parent))
    (path.parent / "stores").mkdir()
    for directory in ("", "\0", "\ud800", "x" * 5000, "/proc/self/mem", "//"):
        source(directory=directory, name=directory, commit=directory)(path)
        assert np.array_equal(answers(path, "mapped"), expected)
        (path.parent / "stores" / path.name).write_bytes(path.read_bytes())
        (listed,) = shelf.stores()
        assert listed.path.name == path.name
        shelf.stores_of("org/name", "main")


MUTANTS = 2000


def test_chance_gives_an_error_or_an_answer(path: Path, sound: bytes) -> None:
    """Bytes of the header changed at random, the checksum right: never another exception."""
    rng = random.Random(2)
    begin = data_begin(sound)
    text = sound[8:begin].rstrip(b" ")
    tokens = [b"0", b"1", b"-", b"9" * 30, b"[", b"]", b"{", b"}", b'"', b",", b":", b"null", b"\\"]
    tokens += [b"true", b"1e999", b"base/", b"float", b"planes", b"\\u0000", b"\xff", b"F32", b"U8"]
    wrong = 0
    for turn in range(MUTANTS):
        changed = bytearray(text)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(changed))
            kind = rng.randrange(4)
            if kind == 0:
                changed[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                changed[at : at + rng.randrange(1, 9)] = rng.choice(tokens)
            elif kind == 2:  # a number becomes another
                digits = [i for i in range(at, min(at + 40, len(changed))) if 48 <= changed[i] < 58]
                for i in digits[:1]:
                    changed[i] = rng.choice(b"0123456789")
            else:
                other = rng.randrange(len(changed))
                changed[at : at + 8] = changed[other : other + 8]
        path.write_bytes(sealed(bytes(changed), begin) + sound[begin:])
        load = LOADS[turn % len(LOADS)]
        try:
            answers(path, load)
        except LapwingError:
            wrong += 1
        with suppress(LapwingError), opened(path) as store:
            store.damaged()
    assert MUTANTS / 2 < wrong < MUTANTS
