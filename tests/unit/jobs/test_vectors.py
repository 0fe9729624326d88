"""Vectors in files: what NumPy and JSON read back is what was written, at any moment."""

from __future__ import annotations

import io
import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from lapwing.errors import FileError, RequestError
from lapwing.jobs.vectors import (
    JsonlStream,
    JsonlWriter,
    NpyWriter,
    check_extension,
    json_lines,
    npy_header,
    open_writer,
)

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
MATRICES = st_np.arrays(np.float32, st_np.array_shapes(min_dims=2, max_dims=2), elements=FLOATS)


def numbered(rows: int, D: int = 3) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.arange(rows * D, dtype=np.float32).reshape(rows, D)


@pytest.mark.parametrize("rows", [0, 1, 7])
@pytest.mark.parametrize("D", [1, 3, 384])
def test_npy_is_the_file_that_numpy_saves(tmp_path: Path, rows: int, D: int) -> None:
    path = tmp_path / "v.npy"
    writer = NpyWriter(path, D)
    for row in numbered(rows, D):
        writer.append(row[None])
    writer.checkpoint(rows, 0)
    writer.close()
    expected = io.BytesIO()
    np.save(expected, numbered(rows, D))
    assert path.read_bytes() == expected.getvalue()


def test_npy_headers_of_any_count_have_one_size() -> None:
    for rows in (0, 9, 10**6, 10**19):
        header = npy_header(rows, 8192)
        assert len(header) == 128
        assert header.endswith(b"\n")
    file = io.BytesIO(npy_header(2**40, 1024))
    np.lib.format.read_magic(file)
    assert np.lib.format.read_array_header_1_0(file) == ((2**40, 1024), False, np.dtype(np.float32))


def test_npy_is_readable_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    writer = NpyWriter(path, 3)
    assert np.load(path).shape == (0, 3)
    for rows in range(1, 5):
        writer.append(numbered(rows)[-1:])
        assert len(np.load(path)) == rows - 1, "not counted before it is durable"
        writer.checkpoint(rows, 0)
        np.testing.assert_array_equal(np.load(path, mmap_mode="r"), numbered(rows))
    writer.close()


def test_npy_rows_are_durable_before_the_header_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    writer = NpyWriter(path, 3)
    writer.append(numbered(2))
    durable: list[tuple[int, int]] = []

    def watch(descriptor: int) -> None:
        durable.append((path.stat().st_size, len(np.load(path))))

    with mock.patch("os.fsync", watch):
        writer.checkpoint(2, 0)
    writer.close()
    assert durable == [(128 + 24, 0), (128 + 24, 2)]


@pytest.mark.parametrize("name", ["v.npy", "v.jsonl"])
@pytest.mark.parametrize("tail", [b"", b"\x01" * 5, b"x" * 1000])
def test_what_is_behind_a_checkpoint_goes(tmp_path: Path, name: str, tail: bytes) -> None:
    path, whole = tmp_path / name, tmp_path / ("whole" + name)
    writer = open_writer(path, 3)
    size = writer.append(numbered(4))
    writer.checkpoint(4, size)
    writer.close()
    with path.open("ab") as file:
        file.write(tail)
    writer = open_writer(path, 3, 4, size)
    writer.checkpoint(6, writer.append(numbered(6)[4:]))
    writer.close()
    once = open_writer(whole, 3)
    once.checkpoint(6, once.append(numbered(6)))
    once.close()
    assert path.read_bytes() == whole.read_bytes()


@given(vectors=MATRICES, first=st.integers(0, 10**12))
def test_json_lines_are_float32_again(vectors: np.ndarray, first: int) -> None:
    lines = json_lines(vectors, first).decode("ascii").splitlines()
    values = [json.loads(line) for line in lines]
    assert [v["index"] for v in values] == list(range(first, first + len(vectors)))
    read = np.array([v["embedding"] for v in values]).astype(np.float32)
    assert read.tobytes() == vectors.tobytes(), "−0.0, too"
    numbers = lines[0].partition("[")[2].removesuffix("]}").split(", ")
    assert numbers == [str(x) for x in vectors[0]], "the shortest that NumPy knows"


def test_a_stream_gets_the_same_lines(tmp_path: Path) -> None:
    stream = io.BytesIO()
    piped, written = JsonlStream(stream), JsonlWriter(tmp_path / "v.jsonl")
    for writer in (piped, written):
        writer.append(numbered(2))
        writer.checkpoint(5, writer.append(numbered(3)))
        writer.close()
    assert stream.getvalue() == (tmp_path / "v.jsonl").read_bytes()
    assert [json.loads(line)["index"] for line in stream.getvalue().splitlines()] == list(range(5))


@pytest.mark.parametrize("name", ["v.npy", "v.jsonl"])
def test_a_file_that_was_changed_is_not_gone_on_with(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    writer = open_writer(path, 3)
    size = writer.append(numbered(4))
    writer.checkpoint(4, size)
    writer.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(FileError, match=f"it has {size - 1} bytes, and had {size} when it was lef"):
        open_writer(path, 3, 4, size)
    assert path.read_bytes() == whole[:-1], "and it is left as it is"
    path.write_bytes(b" " * (size + 10))
    with pytest.raises(FileError, match=r"does not hold what was left there\. It was changed"):
        open_writer(path, 3, 4, size)


def test_two_processes_do_not_write_to_one_file(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    writer = NpyWriter(tmp_path / "v.npy", 3)
    size = writer.append(numbered(1))
    writer.checkpoint(1, size)
    with pytest.raises(FileError, match="another process is writing to it"):
        NpyWriter(tmp_path / "v.npy", 3, 1)
    writer.close()
    NpyWriter(tmp_path / "v.npy", 3, 1).close()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "v.npy").symlink_to(tmp_path / "big" / "there.npy")
    NpyWriter(tmp_path / "v.npy", 3).close()
    assert (tmp_path / "v.npy").is_symlink()
    assert len(np.load(tmp_path / "big" / "there.npy")) == 0


@pytest.mark.parametrize("name", ["v", "v.txt", "v.npz", "v.json"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match=r"expected a name that ends in \.npy or \.jsonl"):
        check_extension(Path(name))
