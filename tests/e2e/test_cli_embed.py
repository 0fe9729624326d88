"""`lapwing embed`: files in, vectors out, and what a kill in the middle leaves."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from e2e.command import Outcome, User
from tiny import write_gpt2
from tiny_sentences import write_sentence_model

import lapwing
from lapwing.cli.progress import describe_pace
from lapwing.engine.encoder import EncoderModel
from lapwing.jobs.embed_file import Progress

Vectors = npt.NDArray[np.float32]
TEXTS = [
    "the king",
    "",
    "naïve 🐦 中国",
    "queen of the forest",
    " ",
    "a wolf, and the \u2028 water",
]
LONG = "the three old kings of the forest and the golden ball in the house by the water"
AT_WORK = r"int8, \w+ \w+, \d+ threads?"
CLOSING = re.compile(rf"(\d+) texts? · \d+ tokens? · ([\d.]+ texts/s|–)( · [^·]+)? · {AT_WORK}")


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads 16 tokens of a text."""
    return write_sentence_model(tmp_path_factory.mktemp("sentences"), seed=1)


@pytest.fixture(scope="module")
def model(sentences: Path) -> Iterator[EncoderModel]:
    with lapwing.load(sentences) as model:
        assert isinstance(model, EncoderModel)
        yield model


@pytest.fixture(scope="module")
def expected(model: EncoderModel) -> Vectors:
    return model.embed(TEXTS)


def embed(user: User, sentences: Path, *args: str, piped: bytes | None = None) -> Outcome:
    return user.types("embed", str(sentences), *args, piped=piped)


def lines_of(texts: list[str]) -> bytes:
    return "".join(text + "\n" for text in texts).encode()


def jsonl_of(texts: list[str]) -> bytes:
    return b"".join(json.dumps({"id": 1, "sentence": text}).encode() + b"\n" for text in texts)


def csv_of(texts: list[str]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("id", "sentence"), *enumerate(texts)])
    return file.getvalue().encode()


def read_json_lines(text: str) -> Vectors:
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    return np.array([row["embedding"] for row in rows], np.float32)


# In and out.


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("t.txt", lines_of(TEXTS), []),
        ("t.jsonl", jsonl_of(TEXTS), ["--column", "sentence"]),
        ("t.csv", csv_of(TEXTS), ["--column", "sentence"]),
        ("t.dat", csv_of(TEXTS), ["--column", "sentence", "--format", "csv"]),
    ],
)
def test_every_format_in_and_out(
    user: User, sentences: Path, expected: Vectors, name: str, content: bytes, options: list[str]
) -> None:
    (user.home / name).write_bytes(content)
    done = embed(user, sentences, name, *options, "-o", "v.npy")
    assert (done.code, done.out) == (0, "")
    closing = CLOSING.fullmatch(done.err.removesuffix("\n"))
    assert closing, done.err
    assert closing[1] == str(len(TEXTS))
    np.testing.assert_array_equal(np.load(user.home / "v.npy"), expected, strict=True)
    done = embed(user, sentences, name, *options, "-o", "v.jsonl", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    written = (user.home / "v.jsonl").read_text()
    np.testing.assert_array_equal(read_json_lines(written), expected, strict=True)


@pytest.mark.parametrize("dash", [["-"], []])
def test_a_pipe_in_and_a_pipe_out(
    user: User, sentences: Path, expected: Vectors, dash: list[str]
) -> None:
    done = embed(user, sentences, *dash, piped=lines_of(TEXTS))
    assert CLOSING.fullmatch(done.err.removesuffix("\n"))
    np.testing.assert_array_equal(read_json_lines(done.out), expected, strict=True)


def test_one_text(user: User, sentences: Path, expected: Vectors) -> None:
    done = embed(user, sentences, "--text", TEXTS[2], "-q")
    np.testing.assert_array_equal(read_json_lines(done.out), expected[2:3])
    report = embed(user, sentences, "--text", TEXTS[2], "--json").json
    np.testing.assert_array_equal(np.array(report["embedding"], np.float32), expected[2])
    assert (report["texts"], report["output"], report["embedding_size"]) == (1, None, 32)


def test_no_texts_are_no_rows(user: User, sentences: Path) -> None:
    (user.home / "t.txt").write_bytes(b"")
    done = embed(user, sentences, "t.txt", "-o", "v.npy")
    assert done.err.startswith("0 texts · 0 tokens · – · int8")
    assert np.load(user.home / "v.npy").shape == (0, 32)
    assert embed(user, sentences, "-", "-q").out == ""


def test_options_reach_the_model(user: User, sentences: Path, model: EncoderModel) -> None:
    arguments = ("-", "--no-normalize", "--max-length", "4", "-t", "1", "-o", "v.npy", "--json")
    report = embed(user, sentences, *arguments, piped=lines_of(TEXTS)).json
    wanted = model.embed(TEXTS, normalize=False, max_length=4)
    np.testing.assert_array_equal(np.load(user.home / "v.npy"), wanted)
    assert (report["threads"], report["dtype"]) == (1, "int8")
    assert (report["texts"], report["skipped_texts"], report["interrupted"]) == (6, 0, False)
    assert (report["truncated"], report["truncated_to"]) == (3, 4)
    assert (report["first_truncated"], report["first_truncated_line"]) == (2, 3)
    assert report["output"] == "v.npy"
    assert report["texts_per_s"] > 0
    assert embed(user, sentences, "--text", "a", "--dtype", "f32", "--json").json["dtype"] == "f32"


# What is told.


def test_texts_that_are_cut_are_told(user: User, sentences: Path) -> None:
    texts = lines_of(["the king", LONG, "", LONG])
    done = embed(user, sentences, "-", piped=texts)
    assert " · 2 texts cut to 16 tokens, first: line 2 · int8" in done.err
    done = embed(user, sentences, "-", "-q", piped=texts)
    assert done.err == "warning: 2 texts cut to 16 tokens, first: line 2\n"
    done = embed(user, sentences, "-", "--no-truncate", "-o", "v.npy", piped=texts)
    assert done.code == 2
    assert done.err.startswith("error: standard input, line 2: the text is longer than the 16 ")
    assert not (user.home / "v.npy").exists()


def test_what_is_no_character_is_told(user: User, sentences: Path, model: EncoderModel) -> None:
    (user.home / "t.jsonl").write_bytes(rb'"a"' + b"\n" + rb'"\ud83d b \udc26"' + b"\n")
    done = embed(user, sentences, "t.jsonl", "-q")
    assert done.err == (
        "warning: t.jsonl: 2 characters became U+FFFD, not being UTF-8 or being half of a pair; "
        "the first is in line 2\n"
    )
    assert done.code == 0
    wanted = model.embed(["a", "\ufffd b \ufffd"])
    np.testing.assert_array_equal(read_json_lines(done.out), wanted)
    done = embed(user, sentences, "-", "-q", piped=b"caf\xe9\n")
    assert done.err.startswith("warning: standard input: 1 character became U+FFFD")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("no.txt", 4, "no.txt: no such file (looked in "),
        (".", 4, ".: expected a file, found a directory"),
        ("t.jsonl", 4, "t.jsonl, line 1: no column 'text'; there are 'id', 'sentence'"),
        ("t.csv --column body", 4, "t.csv, line 1: no column 'body'; there are 'id', 'sentence'"),
        ("t.txt --column body", 2, "column: t.txt is read as lines, which have no column 'body'"),
        ("t.txt --format xml", 2, "format: expected one of lines, jsonl, csv, tsv; got 'xml'"),
        ("t.json", 2, "t.json: .json files are not read."),
        ("t.txt -o v", 2, "v: expected a name that ends in .npy or .jsonl"),
        ("t.txt -o no/v.npy", 4, "no/v.npy: no such directory no. Make it first."),
        ("t.txt -o there.npy", 2, "there.npy exists. --resume goes on with it, --force replaces"),
        ("t.txt -o there.npy --resume", 4, "there.npy exists, and no there.npy.meta.json beside"),
        ("t.txt -o there.npy --resume --force", 2, "--resume goes on with the output, --force"),
        ("t.jsonl -o t.jsonl --force", 2, "t.jsonl is the input, too."),
        ("t.txt --resume", 2, "--resume and --force are about a file: give one with -o."),
        ("t.txt --json", 2, "--json prints a report where the vectors go"),
        ("t.txt --text a", 2, "FILE and --text are given; expected one of them."),
        ("t.txt -o v.npy --max-length 0", 2, "max_length: expected a whole number ≥ 1, got 0"),
        (
            "t.txt -o v.npy --prompt-name query",
            2,
            "prompt_name: this checkpoint has no prompts; got 'query'",
        ),
    ],
)
def test_mistakes(user: User, sentences: Path, arguments: str, code: int, message: str) -> None:
    (user.home / "t.txt").write_bytes(lines_of(TEXTS))
    (user.home / "t.jsonl").write_bytes(jsonl_of(TEXTS))
    (user.home / "t.csv").write_bytes(csv_of(TEXTS))
    (user.home / "there.npy").write_bytes(b"dear")
    before = sorted(user.home.iterdir())
    done = embed(user, sentences, *arguments.split())
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"error: {message}")
    assert done.err.count("\n") == 1
    assert [path for path in sorted(user.home.iterdir()) if path.name != "lapwing"] == before
    assert (user.home / "there.npy").read_bytes() == b"dear"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_others(user: User, sentences: Path) -> None:
    folder = user.home / "others"
    folder.mkdir(mode=0o555)
    done = embed(user, sentences, "-", "-o", "others/v.npy")
    assert done.code == 4
    assert "this user may not write to the directory others" in done.err


def test_a_model_that_does_not_embed_says_so(user: User) -> None:
    gpt2 = write_gpt2(user.home / "gpt2", seed=1)
    done = user.types("embed", str(gpt2), "-", "-o", "v.npy", piped=b"a\n")
    assert done.code == 2
    assert done.err.startswith(f"error: embed: {gpt2} is a causal language model (gpt2); it can ")
    assert not (user.home / "v.npy").exists()


def test_a_broken_line_keeps_those_before_it(
    user: User, sentences: Path, expected: Vectors
) -> None:
    good = jsonl_of(TEXTS[:4])
    (user.home / "t.jsonl").write_bytes(good + b'{"sentence": "bird\n')
    arguments = ("t.jsonl", "--column", "sentence", "-o", "v.npy", "--resume")
    done = embed(user, sentences, *arguments)
    assert done.code == 4
    assert done.err.startswith("error: t.jsonl, line 5: not JSON (Unterminated string starting")
    assert "The texts before it, 4 of them, are in v.npy; when it is mended, --resume" in done.err
    np.testing.assert_array_equal(np.load(user.home / "v.npy"), expected[:4])
    (user.home / "t.jsonl").write_bytes(good + jsonl_of(TEXTS[4:]))
    done = embed(user, sentences, *arguments)
    assert done.err.startswith("6 texts (4 of them before) · ")
    np.testing.assert_array_equal(np.load(user.home / "v.npy"), expected)


def test_a_reader_that_leaves_early_is_no_error(user: User, sentences: Path) -> None:
    (user.home / "t.txt").write_bytes(lines_of(TEXTS * 200))
    process = user.starts("embed", str(sentences), "t.txt")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


# Interrupted.

MANY = [f"{i} {LONG}" for i in range(6000)]
FED = 4000  # of them, through a pipe that then stays silent: the command waits in the middle


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, sentences: Path) -> Path:
    """A directory with what an uninterrupted run makes of MANY: v.npy, v.jsonl."""
    user = User(tmp_path_factory.mktemp("whole"))
    (user.home / "many.txt").write_bytes(lines_of(MANY))
    for name in ("v.npy", "v.jsonl"):
        assert embed(user, sentences, "many.txt", "-o", name).code == 0
    return user.home


@contextmanager
def stopped_in_the_middle(
    user: User, sentences: Path, output: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A command that has some of MANY done, reads ahead, and waits for more."""
    pipe = user.home / "pipe"
    os.mkfifo(pipe)
    process = user.starts("embed", str(sentences), "pipe", "-o", output.name)
    ours = os.open(pipe, os.O_RDWR)  # which does not wait for the other end
    try:
        threading.Thread(target=lambda: os.write(ours, lines_of(MANY[:FED])), daemon=True).start()
        wait_for_rows(output, process)
        yield process
    finally:
        process.kill()
        process.communicate()
        os.close(ours)


def wait_for_rows(output: Path, process: subprocess.Popen[bytes], more_than: int = 0) -> int:
    meta = output.with_name(output.name + ".meta.json")
    for _ in range(600):
        rows = json.loads(meta.read_bytes())["done"]["rows"] if meta.exists() else 0
        if rows > more_than or process.poll() is not None:
            return int(rows)
        time.sleep(0.05)
    raise TimeoutError(f"{output}: no more than {more_than} rows in 30 s")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["v.npy", "v.jsonl"])
def test_killed_and_resumed_is_as_if_never_killed(
    user: User, sentences: Path, whole: Path, name: str
) -> None:
    output = user.home / name
    with stopped_in_the_middle(user, sentences, output) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    with output.open("ab") as file:
        file.write(b"\x00 half a row")
    if name == "v.npy":
        kept = np.load(output)
        assert 0 < len(kept) < len(MANY)
        np.testing.assert_array_equal(kept, np.load(whole / name)[: len(kept)])
    (user.home / "many.txt").write_bytes(lines_of(MANY))
    done = embed(user, sentences, "many.txt", "-o", name, "--resume")
    assert done.code == 0, done.err
    assert re.match(rf"{len(MANY)} texts \([1-9]\d* of them before\) · ", done.err)
    assert f" · {len(MANY)} texts cut to 16 tokens, first: line 1 · " in done.err
    assert output.read_bytes() == (whole / name).read_bytes()


def test_killed_again_and_again(user: User, sentences: Path, whole: Path) -> None:
    (user.home / "many.txt").write_bytes(lines_of(MANY))
    arguments = ("embed", str(sentences), "many.txt", "-o", "v.npy", "--resume")
    rows = 0
    for pause_s in (0.0, 0.01, 0.03):
        process = user.starts(*arguments)
        rows = wait_for_rows(user.home / "v.npy", process, more_than=rows)
        time.sleep(pause_s)
        process.kill()
        process.communicate()
    assert user.types(*arguments).code == 0
    assert (user.home / "v.npy").read_bytes() == (whole / "v.npy").read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(
    user: User, sentences: Path, whole: Path
) -> None:
    output = user.home / "v.npy"
    with stopped_in_the_middle(user, sentences, output) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == (b"", 130)
    closing, note = err.decode().splitlines()
    match = CLOSING.fullmatch(closing)
    assert match
    assert len(np.load(output)) == int(match[1])
    assert note == (
        f"note: interrupted: v.npy has the first {match[1]} texts. The same command with --resume "
        "goes on there."
    )
    done = embed(user, sentences, "-", "-o", "v.npy", "--resume", piped=lines_of(MANY))
    assert done.code == 0, done.err
    assert output.read_bytes() == (whole / "v.npy").read_bytes()


def test_other_texts_and_other_settings_are_not_resumed(user: User, sentences: Path) -> None:
    arguments = ("-", "-o", "v.npy", "--resume")
    assert embed(user, sentences, *arguments, piped=lines_of(TEXTS)).code == 0
    before = (user.home / "v.npy").read_bytes()
    done = embed(user, sentences, *arguments, piped=lines_of(TEXTS[1:]))
    assert done.code == 4
    assert "standard input: v.npy has vectors of its first 6 texts, and now there are" in done.err
    done = embed(user, sentences, *arguments, "--dtype", "f32", piped=lines_of(TEXTS))
    assert done.code == 2
    assert "v.npy was begun with dtype 'int8', and this is 'f32'." in done.err
    assert (user.home / "v.npy").read_bytes() == before
    same = user.types("embed", f"{sentences}/", *arguments, piped=lines_of(TEXTS))
    assert same.err.startswith("6 texts (6 of them before) · ")


def test_changed_weights_are_not_resumed(user: User, sentences: Path, tmp_path: Path) -> None:
    """The same files written again are the same weights; one other value is not."""
    model = shutil.copytree(sentences, tmp_path / "model")
    arguments = ("-", "-o", "v.npy", "--resume")
    assert embed(user, model, *arguments, piped=lines_of(TEXTS[:3])).code == 0
    path = model / "model.safetensors"
    raw = bytearray(path.read_bytes())
    path.write_bytes(raw)
    assert embed(user, model, *arguments, piped=lines_of(TEXTS[:4])).code == 0
    raw[-4:] = raw[-8:-4]
    path.write_bytes(raw)
    done = embed(user, model, *arguments, piped=lines_of(TEXTS))
    assert done.code == 2
    assert re.search(r"v.npy was begun with weights '\w+', and this is '\w+'", done.err)


# On a terminal.


def test_a_terminal_shows_how_fast_it_is_and_how_long_it_takes(user: User, sentences: Path) -> None:
    (user.home / "many.txt").write_bytes(lines_of(MANY * 3))
    shown, code = user.types_on_terminal("embed", str(sentences), "many.txt", "-o", "v.npy")
    assert code == 0
    assert re.search(r"embedding .*\d+ % · [\d.]+ texts/s · 0:\d\d:\d\d left", shown)
    quiet, _ = user.types_on_terminal(
        "embed", str(sentences), "many.txt", "-o", "v.npy", "--force", "-q"
    )
    assert "texts/s" not in quiet


@pytest.mark.parametrize(
    ("first", "now", "since_s", "shown"),
    [
        (Progress(0, 0, 1000), Progress(50, 250, 1000), 10, "25 % · 5.0 texts/s · 0:00:30 left"),
        (Progress(0, 500, 1000), Progress(5, 750, 1000), 10, "75 % · 0.5 texts/s · 0:00:10 left"),
        (
            Progress(0, 0, 10**6),
            Progress(1, 10, 10**6),
            1,
            "0 % · 1.0 texts/s · 1 day, 3:46:39 left",
        ),
        (Progress(0, 0, None), Progress(5120, 9, None), 2, "5,120 texts · 2560.0 texts/s"),
        (Progress(0, 500, 1000), Progress(0, 500, 1000), 0, "50 % · –"),
    ],
)
def test_the_pace(first: Progress, now: Progress, since_s: float, shown: str) -> None:
    assert describe_pace(first, now, since_s) == shown
