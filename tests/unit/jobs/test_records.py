"""Texts out of files: every format, every line end, every way in which input can be wrong."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapwing.errors import FileError, RequestError
from lapwing.jobs.records import Texts, choose_format, open_texts, single_text

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # no half surrogates
LINES = st.lists(st.sampled_from(["", "a", "naïve 🐦", "\u2028", "\x85", "\x0b\x0c", "\r", "\n"]))


class Dribble(io.BytesIO):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes, piece: int) -> None:
        super().__init__(content)
        self._piece = piece

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(self._piece)


def texts_of(content: bytes, format: str, column: str | None = None) -> list[str]:
    return [record.text for record in Texts(io.BytesIO(content), "in", format, column)]


@given(parts=LINES, piece=st.integers(1, 5))
def test_lines_end_as_in_python(parts: list[str], piece: int) -> None:
    content = "".join(parts).encode()
    expected = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline=None)
    records = list(Texts(Dribble(content, piece), "in"))
    assert [r.text for r in records] == [line.removesuffix("\n") for line in expected]
    assert [r.line for r in records] == list(range(1, len(records) + 1))
    if records:
        assert records[-1].end_bytes == len(content)
        ends = [r.end_bytes for r in records]
        assert [texts_of(content[:e], "lines") for e in ends] == [
            [r.text for r in records[: i + 1]] for i in range(len(ends))
        ]


@given(rows=st.lists(st.tuples(ANY_TEXT, ANY_TEXT)), delimiter=st.sampled_from(",\t"))
def test_csv_gives_what_was_written(rows: list[tuple[str, str]], delimiter: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerows([("id", "text"), *rows])
    format = "csv" if delimiter == "," else "tsv"
    assert texts_of(file.getvalue().encode(), format) == [text for _, text in rows]


@given(texts=st.lists(ANY_TEXT), bare=st.booleans(), ascii=st.booleans())
def test_jsonl_gives_what_was_written(texts: list[str], bare: bool, ascii: bool) -> None:
    lines = [json.dumps(t if bare else {"id": 1, "text": t}, ensure_ascii=ascii) for t in texts]
    assert texts_of("\n".join(lines).encode(), "jsonl") == texts


def test_columns_by_name() -> None:
    assert texts_of(b"id,sentence\n1,a\n2,b\n", "csv", "sentence") == ["a", "b"]
    assert texts_of(b"id\tsentence\n1\ta,b\n", "tsv", "sentence") == ["a,b"]
    assert texts_of(b'{"q": "a", "text": "b"}\n', "jsonl", "q") == ["a"]


def test_the_only_column_needs_no_name() -> None:
    assert texts_of(b'sentence\na\n""\n\nb\n', "csv") == ["a", "", "b"]


@pytest.mark.parametrize("header", [b"id;text", b"id\ttext", b"id|text"])
def test_one_column_that_looks_like_several_is_not_taken(header: bytes) -> None:
    with pytest.raises(FileError, match=r"^in, line 1: no column 'text'; there is 'id"):
        texts_of(header + b"\n1;a\n", "csv")
    assert texts_of(header + b"\nrow\n", "csv", header.decode()) == ["row"]


def test_quoted_line_ends_stay_and_lines_are_counted() -> None:
    records = list(Texts(io.BytesIO(b'text,n\r\n"a\r\nb",1\r\n\r\n"c\nd",2\r\n'), "in", "csv"))
    assert [(r.text, r.line) for r in records] == [("a\r\nb", 2), ("c\nd", 5)]


def test_an_empty_line_is_a_text_and_a_blank_line_of_jsonl_is_none() -> None:
    assert texts_of(b"a\n\n\nb", "lines") == ["a", "", "", "b"]
    records = list(Texts(io.BytesIO(b'\n"a"\n  \n{"text": ""}\n\n'), "in", "jsonl"))
    assert [(r.text, r.line) for r in records] == [("a", 2), ("", 4)]


@pytest.mark.parametrize("format", ["lines", "jsonl", "csv", "tsv"])
def test_empty_input_has_no_texts(format: str) -> None:
    assert texts_of(b"", format) == []
    assert texts_of(b"\xef\xbb\xbf", format) == []


@pytest.mark.parametrize(
    ("format", "content"), [("lines", b"a\n"), ("jsonl", b'{"text": "a"}'), ("csv", b"text\na\n")]
)
def test_a_byte_order_mark_is_no_text(format: str, content: bytes) -> None:
    assert texts_of(b"\xef\xbb\xbf" + content, format) == ["a"]


def test_what_is_not_utf8_is_replaced_and_counted() -> None:
    texts = Texts(io.BytesIO("ok \ufffd\n".encode() + b"caf\xe9\n\xff\xfe \xef\xbf\xbd\n"), "in")
    assert [r.text for r in texts] == ["ok \ufffd", "caf\ufffd", "\ufffd\ufffd \ufffd"]
    assert (texts.replaced, texts.first_replaced_line) == (3, 2)


@given(content=st.binary())
def test_any_bytes_are_lines(content: bytes) -> None:
    texts = Texts(io.BytesIO(b"." + content), "in")
    got = "\n".join(record.text for record in texts)
    whole = (b"." + content).decode("utf-8", "replace")
    assert got == whole.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    literal = (b"." + content).count(b"\xef\xbf\xbd")
    assert texts.replaced == whole.count("\ufffd") - literal


def test_half_surrogate_pairs_of_json_are_replaced_and_counted() -> None:
    content = rb'"\ud83d\udc26"' + b"\n" + rb'{"text": "a\ud83d b\udc26"}' + b"\n"
    texts = Texts(io.BytesIO(content), "in", "jsonl")
    assert [r.text for r in texts] == ["🐦", "a\ufffd b\ufffd"]
    assert (texts.replaced, texts.first_replaced_line) == (2, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "line 1: not JSON (Expecting property name enclosed in double quotes): {."),
        (b'"a"\nbird song\n', "line 2: not JSON (Expecting value): bird song."),
        (b'{"text": "bird\r\n', 'line 1: not JSON (Unterminated string starting at): {"text": "'),
        (b'{"q": "a", "id": 1}', "line 1: no column 'text'; there are 'q', 'id'"),
        (b"{}", "line 1: no column 'text'; there is none."),
        (b'{"text": 5}', "line 1: 'text': expected a string, got 5"),
        (b'{"text": null}', "line 1: 'text': expected a string, got null"),
        (b'["a"]', 'line 1: a line: expected a string, got ["a"]'),
        (b"[" * 100_000, "line 1: JSON that is nested too deeply."),
        (b"1" * 5000, "line 1: "),
        (b"\xff\xfe{\x00", "line 1: the file is UTF-16. Save it as UTF-8."),
    ],
)
def test_broken_jsonl(content: bytes, message: str) -> None:
    with pytest.raises(FileError) as caught:
        texts_of(content, "jsonl")
    assert str(caught.value).startswith(f"in, {message}")
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        (b"id,body\n1,a\n", None, "line 1: no column 'text'; there are 'id', 'body'"),
        (b"id,body\n1,a\n", "Body", "line 1: no column 'Body'; there are 'id', 'body'"),
        (b"text,text\na,b\n", None, "line 1: 2 columns are called 'text'"),
        (b"id,text\n1,a\n2\n", None, "line 3: 1 fields, and the header has 2 (id, text)"),
        (b"id,text\n1,Hello, world\n", None, "line 2: 3 fields, and the header has 2"),
        (b'text\nb\n"a\nc\n', None, "line 3: a row that is not CSV begins here: unexpected end"),
        (b'text\n"a"b\n', None, "line 2: a row that is not CSV begins here: "),
    ],
)
def test_broken_csv(content: bytes, column: str | None, message: str) -> None:
    with pytest.raises(FileError) as caught:
        texts_of(content, "csv", column)
    assert str(caught.value).startswith(f"in, {message}")


def test_those_before_a_broken_line_come_first() -> None:
    texts = iter(Texts(io.BytesIO(b'"a"\n"b"\n{\n'), "in", "jsonl"))
    assert [next(texts).text, next(texts).text] == ["a", "b"]
    with pytest.raises(FileError, match="line 3"):
        next(texts)


@pytest.mark.parametrize("format", ["lines", "jsonl", "csv"])
def test_a_huge_text_is_a_text(format: str) -> None:
    text = "lapwing " * 500_000
    content = {"lines": text, "jsonl": json.dumps(text), "csv": f'text\n"{text}"'}[format]
    limit = csv.field_size_limit()
    assert texts_of(content.encode(), format) == [text]
    assert csv.field_size_limit() == limit, "the process's own"


def test_a_long_file_is_not_held_in_memory() -> None:
    class Endless(io.BytesIO):
        read_bytes = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            assert size
            self.read_bytes += size
            return (b"x" * 99 + b"\n") * (size // 100)

    stream = Endless()
    records = iter(Texts(stream, "in"))
    for _ in range(10_000):
        next(records)
    assert stream.read_bytes < 3_000_000


@pytest.mark.parametrize(
    ("path", "format"),
    [
        *((path, "lines") for path in ("a.txt", "a", "-", "a.csv.md")),
        *((path, "jsonl") for path in ("a.jsonl", "a.JSONL", "a.ndjson")),
        ("a.csv", "csv"),
        ("a.tsv", "tsv"),
    ],
)
def test_the_extension_says_the_format(path: str, format: str) -> None:
    assert choose_format(path) == format


@pytest.mark.parametrize("path", ["a.json", "a.csv.gz", "a.parquet", "a.npy"])
def test_files_that_are_not_read_are_refused(path: str) -> None:
    with pytest.raises(RequestError, match=r"files are not read\. Expected text, one a line, or"):
        choose_format(path)


def test_wishes_that_contradict() -> None:
    with pytest.raises(RequestError, match="in is read as lines, which have no column 'text'"):
        Texts(io.BytesIO(), "in", "lines", "text")
    with pytest.raises(
        RequestError, match="format: expected one of lines, jsonl, csv, tsv; got 'x"
    ):
        Texts(io.BytesIO(), "in", "xml")


def test_files_are_opened_with_their_size(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_bytes(b'{"t": "a"}\n')
    with open_texts(str(path), column="t") as texts:
        assert (texts.total_bytes, texts.format) == (11, "jsonl")
        assert [r.text for r in texts] == ["a"]
    with open_texts(str(path), "lines") as texts:
        assert [r.text for r in texts] == ['{"t": "a"}']


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "no", "no such file"), (tmp_path, "found a directory")):
        with pytest.raises(FileError, match=message), open_texts(str(path)):
            pass


@given(text=ANY_TEXT)
def test_a_single_text_is_one_record(text: str) -> None:
    assert [r.text for r in single_text(text, "--text")] == [text]
