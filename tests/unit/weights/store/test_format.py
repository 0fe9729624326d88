"""The file as a store is written: where everything lies, and that others can read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import TinyEncoders, TinyModels
from stores import data_begin, header_of, store_in

import lapwing
from lapwing.backends.checksum import crc32c
from lapwing.weights.safetensors import SafetensorsFile
from lapwing.weights.store.file import StoreFile
from lapwing.weights.store.format import (
    AREA_BYTES,
    AREAS,
    TENSOR_BYTES,
    Contents,
    Piece,
    TableEntry,
    header_is_whole,
    lay_out,
    make_header,
    read_contents,
)
from lapwing.weights.store.writer import StoreWriter

BORDER, LINE = 65536, 64  # bytes: what the format promises


@pytest.fixture(scope="module")
def path(tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a GPT-2 with a tokenizer."""
    cache = tmp_path_factory.mktemp("format")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPWING_CACHE", str(cache))
        lapwing.load(tiny_models.directory("base", text=True), threads=1).close()
    return store_in(cache)


@pytest.fixture
def store(path: Path) -> Iterator[StoreFile]:
    opened = StoreFile(path)
    yield opened
    opened.close()


def area_of(name: str) -> str:
    """By the format's description, for a GPT-2 with a tied head."""
    kind, _, tensor = name.partition("/")
    if kind == "refine":
        return "lookups" if tensor == "transformer.wte.weight" else "refine"
    if kind == "float":
        return "base" if tensor == "transformer.wpe.weight" else "vectors"
    return "files" if kind == "file" else "base"


def test_the_safetensors_library_reads_it(path: Path, store: StoreFile) -> None:
    library = pytest.importorskip("safetensors")
    arrays = pytest.importorskip("safetensors.numpy").load_file(path)
    assert arrays.keys() == store.tensors.keys()
    shown = [name for name in arrays if not name.startswith("pad/")]
    assert len(shown) > 40
    for name in shown:
        view = store.view(name)
        assert view.dtype == arrays[name].dtype
        assert np.array_equal(view, arrays[name])
        assert not view.flags.writeable
        assert view.flags.aligned
    with library.safe_open(path, "numpy") as file:
        assert file.metadata()["lapwing.version"] == "1"
        assert np.array_equal(
            file.get_tensor("refine/transformer.wte.weight"),
            store.view("refine/transformer.wte.weight"),
        )


def test_our_own_reader_of_safetensors_reads_it(path: Path, store: StoreFile) -> None:
    with SafetensorsFile(path) as file:
        assert file.tensors == store.tensors


def test_areas_begin_on_borders_and_tensors_on_lines(path: Path, store: StoreFile) -> None:
    raw = path.read_bytes()
    begin = data_begin(raw)
    assert begin % BORDER == 0
    areas = json.loads(header_of(raw)["__metadata__"]["lapwing.areas"])
    assert list(areas) == ["files", "vectors", "base", "lookups", "refine"]
    for first, _ in areas.values():
        assert (begin + first) % BORDER == 0
    for name, info in store.tensors.items():
        if name.startswith("pad/"):
            assert not any(raw[info.begin : info.end])
            continue
        assert info.begin % LINE == 0, name
        first, last = areas[area_of(name)]
        assert begin + first <= info.begin <= info.end <= begin + last, name
    assert path.stat().st_size == max(info.end for info in store.tensors.values())


def test_everything_lies_in_the_order_of_use(store: StoreFile) -> None:
    """A reader that goes from front to back reads what a pass needs next."""
    layers = [f"transformer.h.{i}" for i in range(2)]
    matrices = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    vectors = (
        "ln_1.weight",
        "ln_1.bias",
        "attn.c_attn.bias",
        "attn.c_proj.bias",
        "ln_2.weight",
        "ln_2.bias",
        "mlp.c_fc.bias",
        "mlp.c_proj.bias",
    )
    expected = [
        "file/config.json",
        "file/tokenizer.json",
        *(f"float/{layer}.{vector}" for layer in layers for vector in vectors),
        "float/transformer.ln_f.weight",
        "float/transformer.ln_f.bias",
        "base/transformer.wte.weight",
        "factors/transformer.wte.weight",
        "float/transformer.wpe.weight",
        *(
            f"{kind}/{layer}.{matrix}.weight"
            for layer in layers
            for matrix in matrices
            for kind in ("base", "factors")
        ),
        "refine/transformer.wte.weight",
        *(f"refine/{layer}.{matrix}.weight" for layer in layers for matrix in matrices),
    ]
    names = sorted(store.tensors, key=lambda name: store.tensors[name].begin)
    assert [name for name in names if not name.startswith("pad/")] == expected


def test_small_files_are_inside_as_they_are(tiny_models: TinyModels, store: StoreFile) -> None:
    directory = tiny_models.directory("base", text=True)
    for name in ("config.json", "tokenizer.json"):
        assert store.view(f"file/{name}").tobytes() == (directory / name).read_bytes()


def test_files_of_folders_are_inside(
    tiny_encoders: TinyEncoders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPWING_CACHE", str(tmp_path))
    directory = tiny_encoders.directory("dense", text=True)
    lapwing.load(directory, threads=1).close()
    store = StoreFile(store_in(tmp_path))
    inside = {name.removeprefix("file/") for name in store.tensors if name.startswith("file/")}
    small = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.suffix == ".json"}
    assert inside == small >= {"1_Pooling/config.json", "2_Dense/config.json", "modules.json"}
    for name in inside:
        assert store.view(f"file/{name}").tobytes() == (directory / name).read_bytes()
    store.close()


# Laws of the layout.

Drawn = dict[str, list[tuple[str, tuple[int, ...]]]]
shapes = st.lists(st.integers(0, 60), max_size=3).map(tuple)
pieces = st.lists(st.tuples(st.sampled_from(["U8", "F32", "BF16"]), shapes), max_size=12)
some_areas = st.fixed_dictionaries({}, optional=dict.fromkeys(AREAS, pieces))


def named(drawn: Drawn) -> dict[str, list[Piece]]:
    return {
        area: [Piece(f"{area}/{i}", dtype, shape) for i, (dtype, shape) in enumerate(listed)]
        for area, listed in drawn.items()
    }


@settings(max_examples=300, deadline=None)
@given(drawn=some_areas)
def test_pieces_lie_side_by_side_on_their_borders(
    drawn: Drawn,
) -> None:
    areas = named(drawn)
    layout = lay_out(areas)
    at = 0
    for piece in layout.pieces:  # no gaps, no overlaps
        assert piece.begin == at
        at = piece.end
    assert layout.nbytes == at
    assert len({piece.name for piece in layout.pieces}) == len(layout.pieces)
    placed = [piece for piece in layout.pieces if not piece.name.startswith("pad/")]
    in_order = [piece for area in AREAS for piece in areas.get(area, ())]
    assert [(p.name, p.dtype, p.shape) for p in placed] == [
        (p.name, p.dtype, p.shape) for p in in_order
    ]
    assert list(layout.areas) == [area for area in AREAS if areas.get(area)]
    for piece in placed:
        assert piece.begin % LINE == 0
        begin, end = layout.areas[piece.name.split("/")[0]]
        assert begin <= piece.begin <= piece.end <= end
    for begin, _ in layout.areas.values():
        assert begin % BORDER == 0
    for (_, before), (after, _) in pairwise(layout.areas.values()):
        assert before <= after
    wasted = layout.nbytes - sum(piece.nbytes for piece in placed)
    assert wasted <= len(layout.areas) * (BORDER - 1) + len(placed) * (LINE - 1)


def test_borders_are_what_the_format_promises() -> None:
    assert (AREA_BYTES, TENSOR_BYTES) == (BORDER, LINE)


names = st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=150, deadline=None)
@given(drawn=some_areas, tensors=st.lists(names, unique=True, max_size=6), data=st.data())
def test_a_header_is_as_long_whatever_is_found_out_later(
    drawn: Drawn, tensors: list[str], data: st.DataObject
) -> None:
    """Data is written before checksums are known."""
    layout = lay_out(named(drawn))
    code = st.integers(0, 2**32 - 1)
    crcs = data.draw(st.lists(code, min_size=len(layout.pieces), max_size=len(layout.pieces)))
    digest = data.draw(st.binary(min_size=16, max_size=16)).hex()

    def contents(digest: str) -> Contents:
        table = {
            name: TableEntry("floats", "F32", (2, 3), "nk", name, lookup=False, digest=digest)
            for name in tensors
        }
        source = {"directory": "".join(tensors), "refs": tensors}
        return Contents("planes", table, source, "boot", dict(layout.areas))

    before = make_header(layout, contents(""), None)
    after = make_header(layout, contents(digest), crcs)
    assert len(before) == len(after) == data_begin(after)
    assert len(after) % BORDER == 0
    assert header_is_whole(before)
    assert header_is_whole(after)
    read = read_contents(header_of(after)["__metadata__"])
    assert read == contents(digest)
    if data.draw(st.booleans(), "also changed"):
        at = data.draw(st.integers(0, len(after) - 1))
        changed = bytearray(after)
        changed[at] ^= 1 << data.draw(st.integers(0, 7))
        assert not header_is_whole(bytes(changed))


def test_the_checksum_of_a_header_is_taken_with_zeros_in_its_place() -> None:
    raw = make_header(lay_out({}), Contents("f16", {}, {}, None), None)
    code = header_of(raw)["__metadata__"]["lapwing.header_crc32c"]
    assert raw.count(code.encode()) == 1
    assert crc32c(raw.replace(code.encode(), b"00000000")) == int(code, 16)


# The writer.


def write_pieces(path: Path, areas: dict[str, list[Piece]], seed: int = 0) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    layout = lay_out(areas)
    written = {}
    with StoreWriter(path, layout, Contents("planes", {}, SOURCE, None)) as writer:
        # In any order.
        for area in reversed(list(areas.values())):
            for piece in reversed(area):
                data = rng.integers(0, 256, piece.nbytes, np.uint8)
                writer.write(piece.name, data)
                written[piece.name] = data.tobytes()
        writer.finish({})
    return written


SOURCE = {
    "directory": "/m",
    "fingerprint": "0",
    "nbytes": 1,
    "name": None,
    "commit": None,
    "refs": [],
}


@settings(max_examples=40, deadline=None)
@given(drawn=some_areas, seed=st.integers(0, 99))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: Drawn,
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("written") / "a.safetensors"
    written = write_pieces(path, named(drawn), seed)
    store = StoreFile(path)
    assert store.damaged() == []
    for name, data in written.items():
        assert store.view(name).tobytes() == store.read(name).tobytes() == data
    store.close()
    path.unlink()


def test_pieces_without_bytes_keep_their_place(tmp_path: Path) -> None:
    """Where two begin at the same byte, the checksum is still each one's own."""
    files = [Piece("file/z", "U8", (BORDER,)), Piece("file/zz", "U8", (0,))]
    planes = [Piece("base/a", "U8", (10,)), Piece("float/empty", "F32", (0, 3))]
    write_pieces(tmp_path / "a.safetensors", {"files": files, "base": planes})
    store = StoreFile(tmp_path / "a.safetensors")
    assert store.damaged() == []
    assert store.view("file/zz").shape == (0,)
    assert store.read("float/empty").shape == (0, 3)
    store.close()


def test_nothing_is_left_of_a_store_that_is_not_finished(tmp_path: Path) -> None:
    layout = lay_out({"base": [Piece("base/a", "U8", (4,)), Piece("base/b", "U8", (4,))]})
    contents = Contents("planes", {}, SOURCE, None)
    path = tmp_path / "stores" / "a.safetensors"

    def leave_out() -> None:
        with StoreWriter(path, layout, contents) as writer:
            writer.write("base/a", np.zeros(4, np.uint8))
            writer.finish({})

    def misshape() -> None:
        with StoreWriter(path, layout, contents) as writer:
            writer.write("base/a", np.zeros(5, np.uint8))

    with pytest.raises(ValueError, match="not written: base/b"):
        leave_out()
    with pytest.raises(ValueError, match="base/a: expected 4 bytes, got 5"):
        misshape()
    assert list(path.parent.iterdir()) == []


def test_room_is_taken_before_anything_is_written(tmp_path: Path) -> None:
    layout = lay_out({"base": [Piece("base/a", "U8", (1 << 20,))]})
    with StoreWriter(tmp_path / "a", layout, Contents("planes", {}, SOURCE, None)):
        (draft,) = tmp_path.iterdir()
        assert draft.stat().st_blocks * 512 >= 1 << 20
        assert draft.name.startswith(".a.")
        assert draft.name.endswith(".draft")
