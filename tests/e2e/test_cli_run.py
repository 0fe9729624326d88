"""`lapwing run`: text in, text out, and what is said about it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import tiny
from e2e.command import SOURCES, User

import lapwing
from lapwing.backends import available
from lapwing.weights.hub import bundled_models

PROMPT = "Once upon a time"
CLOSING = re.compile(
    r"(\d+) tokens? \((\w+)\) · load [\d.–]+( ms| s) · prefill [\d.–]+( tokens/s)? · "
    r"decode [\d.–]+( tokens/s)? · TTFT [\d.–]+( ms| s)? · "
    r"peak memory [\d.–]+( MiB| GiB)? · \w+, \w+ \w+, \d+ threads?"
)
needs_core = pytest.mark.skipif("cpu" not in available(), reason="no compiled core")


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture(scope="module")
def expected() -> str:
    with lapwing.load("tales") as model:
        return model.generate(PROMPT, max_tokens=24).text


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never ends, and takes long to reach its context."""
    directory = tiny.write_gpt2(
        tmp_path_factory.mktemp("endless"),
        seed=1,
        n_embd=16,
        vocab_size=2048,
        n_positions=60_000,
        extra_config={"eos_token_id": None},
    )
    shutil.copy(bundled_models()["tales"] / "tokenizer.json", directory)
    return directory


def test_the_continuation_alone_is_piped_on(user: User, expected: str) -> None:
    done = user.types("run", "tales", PROMPT, "-n", "24")
    assert (done.code, done.out) == (0, expected + "\n")
    closing = CLOSING.fullmatch(done.err.splitlines()[0])
    assert closing, done.err
    assert closing[1] == "24"


def test_a_pipe_is_the_prompt_without_its_last_line_end(user: User, expected: str) -> None:
    done = user.types("run", "tales", "-n", "24", "-q", piped=PROMPT.encode() + b"\n")
    assert (done.out, done.err) == (expected + "\n", "")


def test_bytes_that_are_not_utf8_are_replaced_and_told(user: User) -> None:
    done = user.types("run", "tales", "-n", "2", "-q", piped=b"caf\xe9")
    assert done.code == 0
    assert done.err.startswith("warning: standard input is not UTF-8 (byte 3)")


def test_an_empty_pipe_is_an_error_and_an_empty_prompt_is_not(user: User) -> None:
    done = user.types("run", "tales")
    assert done.code == 2
    assert "no PROMPT, and standard input is empty. Give one:  lapwing run tales" in done.err
    assert user.types("run", "tales", "", "-n", "3", "-q").code == 0


def test_a_terminal_shows_the_prompt_before_the_answer(user: User, expected: str) -> None:
    shown, code = user.types_on_terminal("run", "tales", PROMPT, "-n", "24", "-q")
    assert (shown, code) == (f"\x1b[2m{PROMPT}\x1b[0m{expected}\n", 0)


def test_a_terminal_without_a_prompt_is_told_how(user: User) -> None:
    shown, code = user.types_on_terminal("run", "tales")
    assert code == 2
    assert 'Give one:  lapwing run tales "Once upon a time"' in shown


def test_json_has_the_result_and_its_memory(user: User, expected: str) -> None:
    done = user.types("run", "tales", PROMPT, "-n", "24", "--dtype", "f16", "--json")
    report = done.json
    assert report["dtype"] == report["stored_dtype"] == report["requested_dtype"] == "f16"
    assert report["prompt_tokens"] > 0
    assert report["finish_reason"] == "length"
    assert len(report["tokens"]) == 24
    assert report["timings"]["ttft_s"] > 0
    memory = report["memory"]
    assert 7e6 < memory["weights_bytes"] < memory["peak_resident_bytes"]


def test_options_reach_the_model(user: User) -> None:
    arguments = ("run", "tales", PROMPT, "--temp", "0.9", "--seed", "5", "-n", "30", "-t", "1")
    first, second = user.types(*arguments, "--json").json, user.types(*arguments, "--json").json
    assert first["text"] == second["text"]
    assert (first["seed"], first["threads"]) == (5, 1)
    stopped = user.types("run", "tales", PROMPT, "--stop", "zzz", "--stop", "king", "--json").json
    assert stopped["finish_reason"] == "stop"
    assert "king" not in stopped["text"]


@needs_core
def test_the_first_run_says_what_is_at_work_and_the_second_does_not(user: User) -> None:
    arguments = ("run", "tales", PROMPT, "-n", "2")
    first = user.types(*arguments).err.splitlines()
    note = r"note: first run: cpu backend, \w+, \d+ threads?; the NumPy reference would be "
    assert re.fullmatch(note + r"[\d.]+× slower here \(measured\)", first[1]), first
    assert len(user.types(*arguments).err.splitlines()) == 1


def test_a_cache_that_takes_no_files_is_no_error(user: User) -> None:
    (user.home / "lapwing").write_text("a file where the folder should be")
    done = user.types("run", "tales", PROMPT, "-n", "2")
    assert done.code == 0
    assert CLOSING.fullmatch(done.err.splitlines()[-1])
    assert "error" not in done.err


@needs_core
def test_the_reference_is_announced_every_time(user: User) -> None:
    user.env = {"LAPWING_BACKEND": "reference"}
    arguments = ("run", "tales", PROMPT, "-n", "2", "--dtype", "f32")
    for _ in range(2):
        said = user.types(*arguments).err.splitlines()
        assert re.match(
            r"warning: NumPy reference backend in use: decoding is [\d.]+× slower than with the "
            r"compiled core \(measured\)",
            said[0],
        ), said


def test_without_a_compiled_core_it_runs_and_says_how_to_get_one(user: User) -> None:
    user.sources = user.home / "sources"
    ignore = shutil.ignore_patterns("_native*", "__pycache__")
    shutil.copytree(SOURCES / "lapwing", user.sources / "lapwing", ignore=ignore)
    done = user.types("run", "tales", PROMPT, "-n", "2", "--dtype", "f32")
    assert done.code == 0
    warning = done.err.splitlines()[0]
    assert "below what this memory could feed (measured)" in warning
    assert "Install a C++20 compiler" in warning
    diagnosis = user.types("doctor", "--json").json
    assert diagnosis["facts"]["backends"] == ["reference"]
    assert diagnosis["measured"]["compiled_tps"] is None
    slowdown = diagnosis["reference_slowdown"]
    assert slowdown["of_compiled"] is None
    assert slowdown["of_compiled_missing"]
    assert slowdown["of_memory"] > 1
    assert "Install a C++20 compiler" in diagnosis["advice"]


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_keeps_what_was_made(user: User, endless: Path, as_json: bool) -> None:
    arguments = ["run", str(endless), PROMPT, "-n", "50000", "--dtype", "f32"]
    process = user.starts(*arguments, *(["--json"] if as_json else []))
    assert process.stdout is not None
    assert process.stderr is not None
    seen = b""
    if as_json:  # it prints nothing until the end: give it time to be in the middle
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=4)
    else:
        while len(seen) < 200:
            seen += os.read(process.stdout.fileno(), 4096)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    if as_json:
        report = json.loads(out)
        assert report["finish_reason"] == "interrupted"
        assert 0 < len(report["tokens"]) < 50000
        return
    text = (seen + out).decode()
    assert text.endswith("\n")
    closing = CLOSING.fullmatch(err.decode().splitlines()[-1])
    assert closing
    assert closing[2] == "interrupted"
    with lapwing.load(endless, dtype="f32") as model:
        made = model.generate(PROMPT, max_tokens=int(closing[1]) + 8).text
    assert made.startswith(text.removesuffix("\n").rstrip("\ufffd"))
