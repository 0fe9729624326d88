"""The door: help, errors, exit codes, pipes, Ctrl-C, and what is imported for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e.command import User

from lapwing.cli.app import COMMANDS
from lapwing.cli.main import main, take_debug

HEAVY = {"numpy", "tokenizers", "huggingface_hub", "jinja2", "rich", "lapwing._native", "torch"}


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def test_help_lists_every_command(user: User) -> None:
    began_s = time.perf_counter()
    done = user.types("--help")
    print(f"lapwing --help: {time.perf_counter() - began_s:.3f} s")
    assert done.code == 0
    assert all(f"\n  {name} " in done.out for name in COMMANDS)
    assert "..." not in done.out.partition("Commands:")[2], "no one-line help is cut"
    assert user.types().out == done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    help_text = capsys.readouterr().out
    assert f"Usage: lapwing {name}" in help_text
    assert "--json" in help_text


@pytest.mark.parametrize("code", ["import lapwing", "from lapwing.cli.main import main; main([])"])
def test_nothing_heavy_is_imported_for_it(code: str, user: User) -> None:
    code += "; import sys; print('modules', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=user.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.rpartition("modules ")[2].split())
    assert "lapwing" in loaded
    assert not loaded & HEAVY


def test_version(user: User) -> None:
    import lapwing

    assert user.types("--version").out == f"lapwing {lapwing.__version__}\n"


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (
            "sing tales",
            2,
            "error: no command 'sing'; there are run, embed, fill-mask, classify",
        ),
        ("run", 2, "error: Missing argument 'MODEL'. See 'lapwing run --help'."),
        ("run tales hi --tempo 1", 2, "--tempo"),
        ("run tales hi -n many", 2, "'--max-tokens': "),
        ("run tales hi -n 0", 2, "error: max_tokens: expected a whole number ≥ 1, got 0"),
        ("run tales hi --temp -1", 2, "error: temperature: expected a finite number ≥ 0"),
        ("run tales hi --seed -1", 2, "error: seed: expected a whole number ≥ 0, got -1"),
        ("run tales hi -t none", 2, "error: threads: expected auto, measure or a number from 1"),
        ("run tales hi --dtype q5", 2, "error: dtype: expected one of auto, f32, f16, bf16, int8"),
        ("run tales hi --revision v1", 2, "error: tales: revision 'v1' was asked for"),
        ("run tales hi -n 9999", 2, "tokens exceed the model's context of 512"),
        ("run ./nowhere hi", 4, "error: ./nowhere: no such directory"),
        ("show ./nowhere", 4, "error: ./nowhere: no such directory"),
        ("tokenize ./nowhere hi", 4, "error: ./nowhere: no such directory"),
        ("pull tales", 2, "error: tales is part of lapwing; there is nothing to fetch."),
        ("pull .", 2, "error: . is a directory on this machine; there is nothing to fetch."),
        ("rm tales", 2, "error: tales is part of lapwing; rm deletes from the hub's cache only."),
        ("explain-quant pi", 2, "VALUE"),
        ("explain-quant 1 --range 4 -4", 2, "error: explain-quant: expected finite numbers"),
    ],
)
def test_mistakes_get_one_line_and_a_code(
    line: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == code
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_damaged_model_is_told_without_a_traceback(user: User) -> None:
    (user.home / "config.json").write_text('{"model_type": "gpt2"}')
    (user.home / "model.safetensors").write_bytes(b"\xff" * 100)
    for command in ("run", "show"):
        done = user.types(command, str(user.home), *(["hi"] if command == "run" else []))
        assert done.code == 4
        assert "model.safetensors" in done.err
        assert "Traceback" not in done.err


@pytest.mark.parametrize("line", ["--debug show ./nowhere", "show ./nowhere --debug"])
def test_debug_shows_where_it_comes_from(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 4
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.splitlines()[-1].startswith("error: ./nowhere")


def test_debug_by_environment_and_not_behind_two_dashes() -> None:
    assert take_debug(["ls"], {"LAPWING_DEBUG": "1"}) == (["ls"], True)
    assert take_debug(["ls"], {"LAPWING_DEBUG": "0"}) == (["ls"], False)
    assert take_debug(["run", "--", "--debug"], {}) == (["run", "--", "--debug"], False)


def test_a_bug_is_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise KeyError("h.0")

    monkeypatch.setattr("lapwing.quant.explain.explain", broken)
    assert main(["explain-quant", "1"]) == 1
    assert "error: internal error: KeyError: 'h.0'. This is a bug" in capsys.readouterr().err


def test_out_of_memory_is_exit_code_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr("lapwing.quant.explain.explain", greedy)
    assert main(["explain-quant", "1"]) == 3
    assert capsys.readouterr().err.startswith("error: out of memory")


def test_a_reader_that_leaves_early_is_no_error(user: User) -> None:
    process = user.starts("show", "tales", "--json")
    assert process.stdout is not None
    process.stdout.close()
    process.wait(timeout=60)
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_told(user: User) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lapwing", "explain-quant", "1"],
            env=user.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_before_anything_is_printed(user: User) -> None:
    (user.home / "lapwing").write_text("not a folder: nothing is measured first")
    user.env = {"LAPWING_BACKEND": "reference"}  # seconds to load
    process = user.starts("run", "tales", "hi", "--no-store")
    assert process.stderr is not None
    warning = process.stderr.readline().decode()
    assert warning.startswith("warning: NumPy reference backend in use")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == (b"", b"", 130)


@pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")
def test_colour_is_for_terminals_that_want_it(user: User) -> None:
    shown, code = user.types_on_terminal("explain-quant", "1")
    assert code == 0
    assert "\x1b[1mdtype" in shown
    user.env = {"NO_COLOR": "1"}
    assert "\x1b" not in user.types_on_terminal("explain-quant", "1")[0]
    user.env = {"TERM": "dumb"}
    assert "\x1b" not in user.types_on_terminal("explain-quant", "1")[0]
    assert "\x1b" not in user.types("explain-quant", "1").out
