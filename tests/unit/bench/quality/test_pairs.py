"""Labelled pairs: the layouts that are understood, and what is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from lapwing import FileError
from lapwing.bench.quality.pairs import Pair, read_pairs

WANT = [Pair("a wren", "a bird", 4.5), Pair('say "so"', "no", 0.0)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("last.tsv", 'a wren\ta bird\t4.5\nsay "so"\tno\t0\n'),
        ("last.txt", 'a wren\ta bird\t4.5\r\n\r\nsay "so"\tno\t0'),
        ("first.tsv", '4.5\ta wren\ta bird\n\tnot\tlabelled\n0\tsay "so"\tno\tthe source\n'),
        ("headed.tsv", 'one\ttwo\tscore\na wren\ta bird\t4.5\nsay "so"\tno\t0\n'),
        ("bom.tsv", '\ufeffa wren\ta bird\t4.5\nsay "so"\tno\t0\n'),
        ("quoted.csv", '"a wren",a bird,4.5\n"say ""so""",no,0\n'),
        ("headed.CSV", 'score,one,two\n4.5,a wren,a bird\n0,"say ""so""",no\n'),
    ],
)
def test_layouts(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert read_pairs([tmp_path / name]) == WANT


def test_several_files_are_one(tmp_path: Path) -> None:
    for name in ("a.tsv", "b.tsv"):
        (tmp_path / name).write_text(f"{name}\tx\t1\n")
    assert [pair.first for pair in read_pairs([tmp_path / "a.tsv", tmp_path / "b.tsv"])] == [
        "a.tsv",
        "b.tsv",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("two.tsv", b"a\tb\t1\na\tb\n", "two.tsv, line 2: 2 columns, expected text, text and"),
        ("none.tsv", b"\n\n", "none.tsv: no pairs"),
        ("words.tsv", b"a\tb\tc\nd\te\tf\n", "no column of finite numbers"),
        ("nan.tsv", b"a\tb\tnan\na\tb\tinf\n", "no column of finite numbers"),
        ("half.tsv", b"a\tb\t1\na\tb\tx\n", "no column of finite numbers"),
        ("latin.tsv", b"caf\xe9\tb\t1\n", r"latin.tsv: not UTF-8 \(byte 3\)"),
        ("open.csv", b'"a,b,1\n', "open.csv, line 1: not CSV"),
    ],
)
def test_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_pairs([tmp_path / name])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        read_pairs([tmp_path / "nothing.tsv"])
    with pytest.raises(FileError, match="cannot be read"):
        read_pairs([tmp_path])
