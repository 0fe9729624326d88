"""The reader against files built by hand, by the safetensors library, and by chance."""

from __future__ import annotations

import json
import os
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lapwing.errors import WeightsError
from lapwing.weights.safetensors import NUMPY_DTYPES, SafetensorsFile

F32_2X3 = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def build(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write(directory: Path, raw: bytes) -> Path:
    path = directory / "model.safetensors"
    path.write_bytes(raw)
    return path


def refusal(directory: Path, raw: bytes) -> str:
    path = write(directory, raw)
    with pytest.raises(WeightsError) as caught:
        SafetensorsFile(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def test_what_the_library_writes_is_read_back_exactly(tmp_path: Path) -> None:
    """Expected values come from the format's own implementation."""
    save_file = pytest.importorskip("safetensors.numpy").save_file
    rng = np.random.default_rng(0)
    tensors = {
        f"t.{dtype}": rng.integers(0, 2, (3, 5)).astype(dtype)
        for dtype in ("bool", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8")
    }
    tensors["scalar"] = np.array(2.5, np.float32)
    tensors["empty"] = np.zeros((0, 4), np.float16)
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    with SafetensorsFile(tmp_path / "x.safetensors") as file:
        assert file.metadata == {"format": "pt"}
        assert file.tensors.keys() == tensors.keys()
        for name, expected in tensors.items():
            view = file.view(name)
            assert view.dtype == expected.dtype
            assert view.shape == expected.shape == file.tensors[name].shape
            assert np.array_equal(view, expected)
            assert not view.flags.writeable


def test_bfloat16_comes_as_its_bits(tmp_path: Path) -> None:
    header = {"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    file = SafetensorsFile(write(tmp_path, build(header, b"\x80\x3f\x00\xc0")))  # 1.0, -2.0
    assert file.tensors["w"].dtype == "BF16"
    bits = file.view("w")
    assert bits.dtype == np.uint16
    assert (bits.astype(np.uint32) << 16).view(np.float32).tolist() == [1.0, -2.0]


@pytest.mark.parametrize("padding", range(5))
def test_a_view_is_right_at_any_offset_and_copies_nothing(tmp_path: Path, padding: int) -> None:
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    header = json.dumps({"w": F32_2X3}).encode() + b" " * padding
    file = SafetensorsFile(write(tmp_path, build(header, values.tobytes())))
    view = file.view("w")
    assert np.array_equal(view, values)
    assert not view.flags.owndata
    assert view.flags.aligned == (file.tensors["w"].begin % 4 == 0)


def test_gaps_are_accepted_and_offsets_are_absolute(tmp_path: Path) -> None:
    header = {
        "a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
        "b": {"dtype": "U8", "shape": [1], "data_offsets": [5, 6]},
        "nothing": {"dtype": "F32", "shape": [0], "data_offsets": [1, 1]},
    }
    raw = build(header, bytes(range(9)))
    file = SafetensorsFile(write(tmp_path, raw))
    assert file.view("b").tolist() == [5]
    assert raw[file.tensors["b"].begin] == 5
    assert file.view("nothing").shape == (0,)


@pytest.mark.parametrize("metadata", [{"format": "pt"}, {"n": 1}, None, [], "x"])
def test_metadata_of_any_kind_is_tolerated(tmp_path: Path, metadata: object) -> None:
    file = SafetensorsFile(write(tmp_path, build({"__metadata__": metadata})))
    assert file.tensors == {}
    assert file.metadata == ({"format": "pt"} if metadata == {"format": "pt"} else {})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "0 bytes; a safetensors file has at least 8 of header length. Perhaps the download"),
        (b"\x01\0\0", "3 bytes; a safetensors file has at least 8"),
        (
            struct.pack("<Q", 10**10) + b"{}",
            "the header claims 10000000000 bytes, but only 2 follow",
        ),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "the header claims 18446744073709551615 bytes"),
        (build(b"not json"), "the header is not valid JSON: Expecting value"),
        (build(b"\xff\xfe"), "the header is not valid JSON: 'utf-8' codec"),
        (build(b""), "the header is not valid JSON"),
        (build(b"[" * 100_000), "the header is not valid JSON: nested too deeply"),
        (build(b'{"a":' + b"9" * 5000 + b"}"), "the header is not valid JSON: Exceeds the limit"),
        (build([1]), "the header is a list, expected an object"),
        (build(b'{"w": 1, "w": 2}'), "the header is not valid JSON: key 'w' appears twice"),
    ],
)
def test_a_broken_header_is_named(tmp_path: Path, raw: bytes, expected: str) -> None:
    assert refusal(tmp_path, raw).startswith(expected)


def test_a_header_over_the_limit_is_not_read(tmp_path: Path) -> None:
    """A sparse file: it really is as long as its header claims."""
    path = write(tmp_path, struct.pack("<Q", 10**10))
    os.truncate(path, 8 + 10**10)
    with pytest.raises(WeightsError, match="claims 10000000000 bytes; at most 100000000 are accep"):
        SafetensorsFile(path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"dtype": None}, "'w' has dtype None, which is unknown here; known: BOOL, U8"),
        ({"dtype": "F4"}, "'w' has dtype 'F4', which is unknown here"),
        ({"dtype": "f32"}, "'w' has dtype 'f32', which is unknown here"),
        ({"shape": "2x3"}, "'w' has shape '2x3', expected a list of whole numbers"),
        ({"shape": [-2, -3]}, "'w' has shape [-2, -3], expected a list of whole numbers"),
        ({"shape": [2.0, 3]}, "'w' has shape [2.0, 3], expected a list of whole numbers"),
        ({"shape": [True, 6]}, "'w' has shape [True, 6], expected a list of whole numbers"),
        ({"shape": [[6]]}, "'w' has shape [[6]], expected a list of whole numbers"),
        ({"shape": [1] * 33}, "'w' has 33 axes; at most 32 are accepted"),
        ({"shape": [2**40, 2**40]}, "'w' has shape [1099511627776, 1099511627776]: its size in"),
        ({"shape": [2**62, 0]}, "'w' has shape [4611686018427387904, 0]: its size in bytes overf"),
        ({"shape": [2, 4]}, "'w' holds 24 bytes, but F32 [2, 4] needs 32"),
        ({"dtype": "F16"}, "'w' holds 24 bytes, but F16 [2, 3] needs 12"),
        ({"data_offsets": [0]}, "'w' has data_offsets [0], expected [begin, end]"),
        ({"data_offsets": [False, 24]}, "'w' has data_offsets [False, 24], expected [begin, end]"),
        ({"data_offsets": [-24, 0]}, "'w' has data_offsets [-24, 0], expected [begin, end]"),
        ({"data_offsets": {}}, "'w' has data_offsets {}, expected [begin, end]"),
        ({"data_offsets": [24, 0]}, "'w' begins at byte 24, after its end at 0"),
        ({"data_offsets": [8, 32]}, "'w' ends at byte 105, but the file has only 97"),
    ],
)
def test_a_bad_tensor_is_named(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    assert refusal(tmp_path, build({"w": F32_2X3 | change}, bytes(24))).startswith(expected)


@pytest.mark.parametrize("key", ["dtype", "shape", "data_offsets"])
def test_a_missing_field_is_named(tmp_path: Path, key: str) -> None:
    entry = {k: v for k, v in F32_2X3.items() if k != key}
    assert refusal(tmp_path, build({"w": entry}, bytes(24))).startswith(f"'w' has no {key}")


def test_an_entry_that_is_no_object(tmp_path: Path) -> None:
    assert refusal(tmp_path, build({"w": 3})).startswith("'w' is described by a number, expected")


def test_overlapping_spans_are_refused_naming_both(tmp_path: Path) -> None:
    header = {
        "late": {"dtype": "U8", "shape": [4], "data_offsets": [3, 7]},
        "early": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
    }
    text = refusal(tmp_path, build(header, bytes(8)))
    assert text.startswith("'early' (bytes ")
    assert "and 'late' (bytes " in text
    assert "overlap" in text


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.safetensors: no such file\. Was it moved"):
        SafetensorsFile(tmp_path / "gone.safetensors")
    with pytest.raises(WeightsError, match="expected a safetensors file, found a directory"):
        SafetensorsFile(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="found not a regular file"):
        SafetensorsFile(tmp_path / "pipe")


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, build({}))

    def forbid(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(WeightsError, match=r"no permission to read it\. Change the file's permiss"):
        SafetensorsFile(path)


def test_close_is_safe_while_a_view_lives(tmp_path: Path) -> None:
    file = SafetensorsFile(write(tmp_path, build({"w": F32_2X3}, bytes(24))))
    view = file.view("w")
    file.close()
    file.close()
    assert view.sum() == 0
    with pytest.raises(WeightsError, match="'w' was asked for after the file was closed"):
        file.view("w")
    file.release("w")


def test_an_unknown_name(tmp_path: Path) -> None:
    file = SafetensorsFile(write(tmp_path, build({"w": F32_2X3}, bytes(24))))
    with pytest.raises(WeightsError, match="no tensor 'v' among its 1"):
        file.view("v")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_release_gives_pages_back_and_the_view_stays_right(tmp_path: Path) -> None:
    size = 32 << 20
    header = {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    file = SafetensorsFile(write(tmp_path, build(header, b"\x01" * size)))
    before = resident_bytes()
    view = file.view("w")
    assert int(view[:: 1 << 10].sum()) == size >> 10
    assert resident_bytes() - before > size // 2
    file.release("w")
    assert resident_bytes() - before < size // 8
    assert view[-1] == 1


# --- chance -------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers(-3, 2**66) | st.floats() | st.text(max_size=5)
dims = st.integers(0, 4) | st.sampled_from([2**31, 2**62, 2**63, 2**64, -1]) | scalars
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from([*NUMPY_DTYPES, "F4", "X"]) | scalars,
        "shape": st.lists(dims, max_size=4) | scalars,
        "data_offsets": st.lists(st.integers(0, 64) | dims, min_size=1, max_size=3) | scalars,
    },
)
headers = st.dictionaries(st.text(max_size=4) | st.just("__metadata__"), entries | scalars)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A sound file with a few bytes replaced, removed or added."""
    header = {
        "a": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]},
        "b": {"dtype": "U8", "shape": [3], "data_offsets": [8, 11]},
        "__metadata__": {"format": "pt"},
    }
    raw = bytearray(build(header, bytes(11)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
        if not raw:
            break
    return bytes(raw)


files = (
    st.binary(max_size=60)
    | st.builds(build, st.binary(max_size=60), st.binary(max_size=40))
    | st.builds(build, headers.map(lambda h: json.dumps(h).encode()), st.binary(max_size=64))
    | mutated()
)


@settings(max_examples=400, deadline=None)
@given(files)
@example(build({"\ud800": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}))
def test_any_bytes_open_with_all_spans_inside_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    path.write_bytes(raw)
    try:
        file = SafetensorsFile(path)
    except WeightsError as error:
        str(error).encode("utf-8")
        return
    with file:
        spans = sorted((t.begin, t.end) for t in file.tensors.values() if t.nbytes)
        assert all(8 <= begin < end <= len(raw) for begin, end in spans)
        assert all(first[1] <= second[0] for first, second in pairwise(spans))
        for name, info in file.tensors.items():
            assert file.view(name).nbytes == info.nbytes
