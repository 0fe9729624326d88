"""`lapwing eval`: what a user types, and what comes back."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from e2e.command import User
from tiny import SHAPES, write_gpt2
from tiny_sentences import write_sentence_model

from lapwing.units import parse_bytes
from lapwing.weights.hub import bundled_models

GOLDEN = Path(__file__).parents[1] / "golden" / "perplexity.json"
TEXT: str = json.loads(GOLDEN.read_text(encoding="utf-8"))["tales"]["text"]
TOKENS = ("--tokens", "200", "--window", "64", "-q")


@pytest.fixture
def user(tmp_path: Path) -> User:
    (tmp_path / "mine.txt").write_text(TEXT, encoding="utf-8")
    return User(tmp_path)


def test_a_table(user: User) -> None:
    done = user.types("eval", "tales", "--text", "mine.txt", *TOKENS)
    assert done.code == 0, done.err
    assert done.err == ""
    lines = done.out.splitlines()
    heads = ("model", "dtype", "weights", "perplexity", "ratio", "KL nats", "KL p99", "top-1 %")
    assert all(name in lines[1] for name in heads)
    assert [line.split()[1] for line in lines if line.startswith(" tales ")] == [
        "f32",
        "f16",
        "int8",
        "int4",
    ]
    assert "199 positions of mine.txt in 6 blocks" in done.out
    assert "as far as --tokens goes. ± is one standard error." in done.out
    assert "reference: tales f32" in done.out


def test_on_a_terminal(user: User) -> None:
    shown, code = user.types_on_terminal("eval", "tales", "--text", "mine.txt", *TOKENS)
    assert code == 0
    assert "perplexity" in shown


def test_formats_agree(user: User) -> None:
    args = ("eval", "tales", "--dtype", "int4", "--text", "mine.txt", *TOKENS)
    told = user.types(*args, "-o", "json").json
    lines = [json.loads(line) for line in user.types(*args, "-o", "jsonl").out.splitlines()]
    assert [line["dtype"] for line in lines] == [row["dtype"] for row in told["rows"]]
    assert lines[1]["kl_nats"] == told["rows"][1]["kl_nats"]
    assert told["rows"][0]["not_measured"]["kl_nats"] == "it is the reference"
    assert (told["tokens"], told["scored"], told["stopped"]) == (200, 199, "tokens")
    md = user.types(*args, "-o", "md").out.splitlines()
    assert md[0].startswith("| model | dtype |")
    assert md[3].startswith("| tales | int4 |")


def test_a_reference_kept_and_used(user: User) -> None:
    args = ("eval", "tales", "--text", "mine.txt", "--dtype", "int8")
    kept = user.types(*args, "--save-reference", "f32.ref", *TOKENS)
    assert kept.code == 0, kept.err
    again = user.types(*args, "--reference", "f32.ref", "-q")
    assert again.code == 0, again.err
    assert "reference: tales f32 (f32.ref)" in again.out
    assert "of a reference kept in part" in again.out
    (user.home / "other.txt").write_text("Another text, of some length.")
    other = user.types("eval", "tales", "--text", "other.txt", "--reference", "f32.ref")
    assert other.code == 2
    assert "is of another text than other.txt" in other.err
    raw = (user.home / "f32.ref").read_bytes()
    (user.home / "f32.ref").write_bytes(raw[:-100])
    cut = user.types(*args, "--reference", "f32.ref")
    assert cut.code == 4
    assert "make it again with --save-reference" in cut.err


def test_a_plan_chosen_and_run(user: User) -> None:
    args = ("eval", "tales", "--text", "mine.txt", "--target-size", "3.6MB", "--tokens", "100")
    done = user.types(*args, "--save-plan", "plan.json", "-q")
    assert done.code == 0, done.err
    assert "predicted" in done.out
    assert "measured" in done.out
    plan = json.loads((user.home / "plan.json").read_text())
    assert plan["int4"]
    assert plan["measured"]["held_bytes"] <= 3_600_000
    ran = user.types("run", "tales", "Once", "--dtype", "plan.json", "-n", "4", "--json")
    assert ran.json["dtype"] == "mixed"
    shown = user.types("show", "tales", "--dtype", "plan.json", "--json").json
    assert shown["resident"]["nbytes"] == plan["measured"]["held_bytes"]
    table = user.types("eval", "tales", "--text", "mine.txt", "--dtype", "plan.json,int4", *TOKENS)
    assert "plan.json" in table.out


def test_an_encoder_with_pairs(user: User) -> None:
    write_sentence_model(user.home / "sentences", seed=1)
    (user.home / "pairs.tsv").write_text(
        "the king\ta king\t4\nwater\tgold\t1\na wolf\tthe wolf\t5\n"
    )
    done = user.types("eval", "./sentences", "--pairs", "pairs.tsv", "-q")
    assert done.code == 0, done.err
    assert "Spearman × 100" in done.out
    assert "6 texts of labelled pairs" in done.out


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("tales",), 2, "no text. Give one"),
        (("tales", "--text", "nothing.txt"), 4, "nothing.txt: no such file"),
        (("tales", "--text", "mine.txt", "-o", "xml"), 2, "-o: expected one of table, md, json"),
        (("tales", "--text", "mine.txt", "--dtype", "int3"), 2, "dtype: expected one of auto"),
        (("tales", "--text", "mine.txt", "--target-size", "big"), 2, "expected a size as 2GB"),
        (("tales", "--text", "mine.txt", "--target-size", "1kB"), 3, "as int4 throughout"),
        (("tales", "--text", "mine.txt", "--max-kl", "1e-9", "--tokens", "50"), 2, "int8 through"),
        (("tales", "--text", "mine.txt", "--save-plan", "p.json"), 2, "there is no plan without"),
        (
            ("tales", "--text", "mine.txt", "--max-kl", "1", "--pairs", "p"),
            2,
            "--pairs: is not for",
        ),
        (("tales", "--text", "mine.txt", "--save-reference", "no/x"), 4, "no such directory"),
        (("tales", "--text", "mine.txt", "--seconds", "-1"), 2, "--seconds: expected 0 or more"),
    ],
)
def test_refused(user: User, args: tuple[str, ...], code: int, message: str) -> None:
    done = user.types("eval", *args)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_ctrl_c_prints_what_was_measured(user: User) -> None:
    """A model that has enough to do; Ctrl-C goes on until it has been noticed."""
    write_gpt2(user.home / "slow", seed=1, **{**SHAPES["base"], "vocab_size": 2048})
    tokenizer = bundled_models()["tales"] / "tokenizer.json"
    (user.home / "slow" / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    (user.home / "long.txt").write_text(TEXT * 200, encoding="utf-8")
    process = user.starts(
        *("eval", "./slow", "--text", "long.txt", "--tokens", "300000", "--window", "32"),
        *("--seconds", "0", "-o", "json", "--dtype", "int8"),
    )
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    if out:  # nothing, where the machine had not even loaded the model by then
        told = json.loads(out)
        assert told["stopped"] == "interrupted"
        assert told["scored"] > 0
        assert told["rows"][1]["kl_nats"]["value"] >= 0


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("2GB", 2 * 10**9),
        ("2G", 2 * 10**9),
        ("1.5 GiB", 3 << 29),
        ("600MiB", 600 << 20),
        ("4096", 4096),
        (".5kB", 500),
        ("12B", 12),
        ("", None),
        ("GB", None),
        ("-1GB", None),
        ("2iB", None),
        ("2 XB", None),
        ("1e9", None),
    ],
)
def test_sizes(text: str, nbytes: int | None) -> None:
    assert parse_bytes(text) == nbytes
