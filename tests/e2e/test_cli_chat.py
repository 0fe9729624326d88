"""`lapwing run --chat`: one message from an argument or a pipe, a conversation on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from chats import TURN_TOKENS, copy_without_template, write_chat_model
from e2e.command import User

import lapwing
from lapwing.cli.main import main

HELLO = [{"role": "user", "content": "Hello"}]
FREE = ("--temp", "1", "--seed", "7", "--ignore-eos")
KEYWORDS: dict[str, Any] = {"temperature": 1.0, "seed": 7, "ignore_eos": True}
ESCAPES = re.compile(r"\x1b\[\??[\d;]*[a-zA-Z]")
PATIENCE_S = 60
LOCAL_FLAGS = 3  # of what tcgetattr gives


class Terminal:
    """A process on a terminal of its own, with someone who waits for what it shows."""

    def __init__(self, user: User, *args: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lapwing", *args],
            env=user.environment(),
            cwd=user.home,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        os.close(theirs)
        self.shown = ""

    def expect(self, text: str, more: int = 0) -> str:
        """Reads until `text` is shown, and `more` characters → all up to and with them."""
        while text not in self.shown or len(self.shown.split(text, 1)[1]) < more:
            self._read()
        before, _, after = self.shown.partition(text)
        self.shown = after[more:]
        return before + text + after[:more]

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def interrupt_until(self, text: str) -> None:
        """Once readline has the terminal. A signal in the moment before it listens waits for the
        next one, so another follows, but only where nothing at all came of the first: one too many
        would give up the line typed next."""
        while termios.tcgetattr(self._ours)[LOCAL_FLAGS] & termios.ICANON:
            time.sleep(0.01)
        self.interrupt()
        while not select.select([self._ours], [], [], PATIENCE_S / 4)[0]:
            self.interrupt()
        self.expect(text)

    def ends(self) -> tuple[str, int]:
        """What is left to show, and the exit code."""
        try:
            while True:
                self._read()
        except OSError:  # Linux's end of a terminal
            return self.shown, self.process.wait(timeout=PATIENCE_S)

    def _read(self) -> None:
        assert select.select([self._ours], [], [], PATIENCE_S)[0], self.shown
        raw = os.read(self._ours, 65536).decode(errors="replace").replace("\r\n", "\n")
        self.shown += ESCAPES.sub("", raw)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that chats, after its fashion, and never of its own will comes to an end."""
    path = tmp_path_factory.mktemp("chat") / "wren"
    return write_chat_model(path, n_positions=4096, extra_config={"eos_token_id": None})


@pytest.fixture(scope="module")
def model(directory: Path) -> Iterator[lapwing.Model]:
    with lapwing.load(directory) as model:
        yield model


def test_one_message(user: User, directory: Path, model: lapwing.Model) -> None:
    expected = model.chat(HELLO, max_tokens=12, **KEYWORDS)
    arguments = ("run", str(directory), "--chat", "-n", "12", *FREE)
    done = user.types(*arguments, "Hello")
    assert (done.code, done.out) == (0, expected.text + "\n")
    assert done.err.startswith("12 tokens (length) · load ")
    piped = user.types(*arguments, "-q", piped=b"Hello\n")
    assert (piped.out, piped.err) == (expected.text + "\n", "")
    assert user.types("run", str(directory), "Hello", "-n", "12", *FREE).out != done.out
    shown, code = user.types_on_terminal(*arguments, "-q", "Hello")
    assert (shown, code) == (expected.text + "\n", 0)


def test_json_and_what_the_model_is_told_first(
    user: User, directory: Path, model: lapwing.Model
) -> None:
    told = [{"role": "system", "content": "Sing."}, *HELLO]
    expected = model.chat(told, max_tokens=5, **KEYWORDS)
    arguments = ("run", str(directory), "--chat", "-n", "5", *FREE, "--json")
    report = user.types(*arguments, "--system", "Sing.", "Hello").json
    assert report["text"] == expected.text
    assert report["tokens"] == expected.tokens
    assert report["prompt_tokens"] == expected.prompt_tokens
    assert report["finish_reason"] == "length"


def test_a_conversation(user: User, directory: Path, model: lapwing.Model) -> None:
    """Each line is answered with what was said before in mind, on one cache."""
    messages: list[dict[str, str]] = [{"role": "system", "content": "Be brief."}]
    arguments = ("run", str(directory), "--chat", "--system", "Be brief.", "-n", "8", *FREE, "-q")
    with Terminal(user, *arguments) as terminal:
        for line in ("Hello", "And a good day!"):
            terminal.expect("> ")
            terminal.type(f"\n  {line} \n")
            messages.append({"role": "user", "content": line})
            answer = model.chat(messages, max_tokens=8, **KEYWORDS).text
            messages.append({"role": "assistant", "content": answer})
            assert terminal.expect(answer + "\n")
        terminal.expect("> ")
        terminal.type("/reset\n")
        terminal.expect("> ")
        terminal.type("Hello\n")
        first = model.chat([messages[0], *HELLO], max_tokens=8, **KEYWORDS).text
        assert terminal.expect(first + "\n")
        terminal.expect("> ")
        terminal.type("/exit\n")
        assert terminal.ends()[1] == 0


def test_ctrl_c_ends_an_answer_and_ctrl_d_the_conversation(user: User, directory: Path) -> None:
    with Terminal(user, "run", str(directory), "--chat", "-n", "3000", *FREE) as terminal:
        terminal.expect("Ctrl-C ends an answer, /reset begins anew, /exit or Ctrl-D leaves\n> ")
        terminal.type("Hello\n")
        terminal.expect("Hello\n", more=200)  # in the middle of an answer
        terminal.interrupt()
        made = re.search(r"\n(\d+) tokens \(interrupted\)$", terminal.expect("(interrupted)"))
        assert made
        assert 0 < int(made[1]) < 3000
        terminal.expect("> ")
        terminal.interrupt_until("> ")  # gives up the line
        terminal.type("Again\n")
        terminal.expect("Again\n", more=50)
        terminal.interrupt()
        terminal.expect("(interrupted)")
        terminal.expect("> ")
        terminal.type("\x04")
        rest, code = terminal.ends()
        assert code == 0
        assert "error" not in rest


def test_a_line_that_does_not_fit_is_forgotten(user: User, tmp_path: Path) -> None:
    directory = write_chat_model(tmp_path / "short", n_positions=64)
    with lapwing.load(directory) as model:
        answer = model.chat(HELLO, max_tokens=4, **KEYWORDS).text
    with Terminal(user, "run", str(directory), "--chat", "-n", "4", *FREE, "-q") as terminal:
        terminal.expect("> ")
        terminal.type("Hello " * 60 + "\n")
        terminal.expect("error: ")
        shown = terminal.expect("> ")
        assert "the prompt has 191 tokens; the model's context is 64" in shown
        assert "That line is forgotten; /reset begins anew." in shown
        terminal.type("Hello\n")
        terminal.expect(answer + "\n")
        terminal.expect("> ")
        terminal.type("/exit\n")
        assert terminal.ends()[1] == 0


def test_a_model_without_a_template_says_what_to_do(
    user: User, directory: Path, tmp_path: Path
) -> None:
    path = copy_without_template(directory, tmp_path / "plain")
    for arguments in (("--chat", "Hello"), ("--chat", "--json", "Hello")):
        done = user.types("run", str(path), *arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err.count("\n") == 1
        assert done.err.startswith(f"error: chat: {path} has no chat template (looked for ")
        assert "lapwing run without --chat" in done.err
    with Terminal(user, "run", str(path), "--chat") as terminal:
        shown, code = terminal.ends()
        assert code == 2
        assert "> " not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--system", "Sing.", "Hello"), "--system is for conversations: add --chat."),
        (("--logprobs", "2", "Hello"), "--logprobs are printed with --json: add it."),
        (("--logit-bias", "x=1", "Hello"), "--logit-bias: expected a token id and a number"),
        (("--logit-bias", "5", "Hello"), "as in 42=-1.5; got '5'. lapwing tokenize shows ids."),
        (("--logit-bias", "5=nan", "Hello"), "logit_bias[5]: expected a finite number"),
        (("--logit-bias", "99999=1", "Hello"), "logit_bias: 99999 is outside the vocabulary"),
        (("--top-k", "-1", "Hello"), "top_k: expected a whole number ≥ 0, got -1"),
        (("--top-p", "1.5", "Hello"), "top_p: expected a finite number from 0 to 1, got 1.5"),
        (("--min-p", "-1", "Hello"), "min_p: expected a finite number from 0 to 1"),
        (("--typical-p", "2", "Hello"), "typical_p: expected a finite number from 0 to 1"),
        (
            ("--repetition-penalty", "0", "Hello"),
            "repetition_penalty: expected a finite number > 0",
        ),
        (("--presence-penalty", "3", "Hello"), "presence_penalty: expected a finite number from"),
        (("--frequency-penalty", "-3", "Hello"), "frequency_penalty: expected a finite number"),
        (("--logprobs", "-1", "--json", "Hello"), "logprobs: expected a whole number ≥ 0, got -1"),
    ],
)
def test_mistakes(
    directory: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(directory), *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_an_empty_pipe_is_no_message(user: User, directory: Path) -> None:
    done = user.types("run", str(directory), "--chat")
    assert done.code == 2
    assert 'standard input is empty. Give one:  lapwing run MODEL --chat "Hello"' in done.err


def test_json_is_no_conversation(user: User, directory: Path) -> None:
    shown, code = user.types_on_terminal("run", str(directory), "--chat", "--json")
    assert code == 2
    assert "--json prints one answer. Give a message:" in shown


def test_every_wish_reaches_the_model(user: User, directory: Path, model: lapwing.Model) -> None:
    """Each is such that the text would be another without it."""
    wishes: dict[str, Any] = {
        "top_k": 40,
        "top_p": 0.9,
        "min_p": 0.01,
        "typical_p": 0.95,
        "repetition_penalty": 1.3,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
    }
    common: dict[str, Any] = {**KEYWORDS, "max_tokens": 30}
    plain = model.generate("Hello", **common).tokens
    flags = ["run", str(directory), "Hello", "-n", "30", *FREE, "--json"]
    for name, value in wishes.items():
        expected = model.generate("Hello", **common, **{name: value}).tokens
        assert expected != plain, name
        got = user.types(*flags, f"--{name.replace('_', '-')}", str(value)).json["tokens"]
        assert got == expected, name
    biased = user.types(*flags, "--logit-bias", "70=100", "--logit-bias", "71=-inf").json["tokens"]
    assert set(biased) == {70}


def test_logprobs_are_in_the_report(user: User, directory: Path, model: lapwing.Model) -> None:
    arguments = ("run", str(directory), "--chat", "Hello", "-n", "3", *FREE, "--json")
    report = user.types(*arguments, "--logprobs", "2").json
    expected = model.chat(HELLO, max_tokens=3, logprobs=2, **KEYWORDS).to_dict()["logprobs"]
    assert report["logprobs"] == expected
    assert [len(each["top"]) for each in report["logprobs"]] == [2, 2, 2]
    assert user.types(*arguments).json["logprobs"] is None


def test_a_turn_ends_where_the_tokenizer_says(user: User, directory: Path) -> None:
    """No file but tokenizer_config.json names the end."""
    with lapwing.load(directory) as model:
        end = model.tokenizer.raw.token_to_id("</s>")
    arguments = ("run", str(directory), "Hello", "-n", "4", "--logit-bias", f"{end}=100", "--json")
    assert user.types(*arguments, "--chat").json["finish_reason"] == "stop"
    assert user.types(*arguments).json["finish_reason"] == "length"
    on = user.types(*arguments, "--chat", "--ignore-eos").json
    assert on["tokens"] == [end] * 4


def test_no_template_no_jinja(user: User, directory: Path) -> None:
    """The template language is imported where a template is rendered."""
    code = (
        "import sys; from lapwing.cli.main import main; "
        "main(sys.argv[1:]); print('jinja2' in sys.modules)"
    )
    for more, imported in (((), "False"), (("--chat",), "True")):
        done = subprocess.run(
            [sys.executable, "-c", code, "run", str(directory), "Hello", "-n", "1", "-q", *more],
            env=user.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == imported


def test_the_bundled_tokenizer_gained_its_turns(model: lapwing.Model) -> None:
    for token in TURN_TOKENS:
        assert len(model.tokenizer.encode(token, add_special_tokens=False)) == 1


def test_the_example_is_the_same_conversation(
    user: User, directory: Path, model: lapwing.Model
) -> None:
    program = Path(__file__).parents[2] / "examples" / "chat.py"
    done = subprocess.run(
        [sys.executable, program, directory, "Hello", "And a good day!", "--max-tokens", "6"],
        env=user.environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    messages: list[dict[str, str]] = []
    shown = ""
    for text in ("Hello", "And a good day!"):
        messages.append({"role": "user", "content": text})
        answer = model.chat(messages, max_tokens=6).text
        messages.append({"role": "assistant", "content": answer})
        shown += f"> {text}\n{answer}\n(6 tokens, length)\n"
    assert done.stdout == shown
