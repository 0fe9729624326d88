"""`fill-mask`, `classify` and `rerank`: what the heads of encoders say, through the door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.command import User
from tiny import write_gpt2
from tiny_sentences import write_task_model

import lapwing
from lapwing.cli.terminal import plain
from lapwing.engine.model import Model

TEXTS = ["the king", "", "naïve 🐦 queen", "a wolf in the forest of the house"]
LONG = "the water " * 60


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, Model]]]:
    """Directory and model: of masks, three labels, several of four labels, one label, and none."""
    folder = tmp_path_factory.mktemp("heads")
    several = {"problem_type": "multi_label_classification"}
    paths = {
        "masks": write_task_model(folder / "masks", seed=1, family="roberta", head="mlm"),
        "three": write_task_model(folder / "three", seed=2, family="bert", labels="abc"),
        "several": write_task_model(
            folder / "several", seed=3, family="bert", labels="abcd", extra_config=several
        ),
        "one": write_task_model(folder / "one", seed=4, family="xlm-roberta", labels=["fits"]),
        "none": write_gpt2(folder / "none", seed=5),
    }
    with ExitStack() as stack:
        yield {
            name: (str(path), stack.enter_context(lapwing.load(path)))
            for name, path in paths.items()
        }


Models = dict[str, tuple[str, Model]]


def lines_of(texts: list[str]) -> bytes:
    return "".join(text + "\n" for text in texts).encode()


# fill-mask.


def test_masks_are_filled(user: User, models: Models) -> None:
    path, model = models["masks"]
    text = "the <mask> and the <mask>"
    report = user.types("fill-mask", path, text, "-k", "3", "--json").json
    assert report["masks"] == plain(model.fill_mask(text, top_k=3))
    assert [len(fillings) for fillings in report["masks"]] == [3, 3]
    assert report["text"] == text
    assert report["dtype"] == "int8"
    shown = user.types("fill-mask", path, text, "-q")
    assert shown.err == ""
    first, second = shown.out.split("\n\n")
    assert len(first.splitlines()) == len(second.splitlines()) == 1 + 5
    assert first.splitlines()[0].split() == ["token", "score", "text"]
    best = model.fill_mask(text)[1][0]
    assert second.splitlines()[1].startswith(best.token)
    assert second.splitlines()[1].endswith(f"{best.score:.4f}  {best.text}".rstrip())


def test_a_pipe_is_the_text_without_its_last_line_end(user: User, models: Models) -> None:
    path, model = models["masks"]
    report = user.types("fill-mask", path, "--json", piped=b"a <mask>\n").json
    assert report["masks"] == plain(model.fill_mask("a <mask>"))


def test_options_reach_the_model(user: User, models: Models) -> None:
    path, _ = models["masks"]
    report = user.types("fill-mask", path, "a <mask>", "--dtype", "f32", "-t", "1", "--json").json
    assert (report["dtype"], report["threads"], report["model"]) == ("f32", 1, path)


# classify.


def test_one_text_has_all_its_labels(user: User, models: Models) -> None:
    path, model = models["three"]
    (labels,) = model.classify(["the king"])
    report = user.types("classify", path, "the king", "--json").json
    assert report["results"] == [{"line": 1, "text": "the king", "labels": plain(labels)}]
    assert sum(label["score"] for label in report["results"][0]["labels"]) == pytest.approx(1)
    shown = user.types("classify", path, "the king").out.splitlines()
    assert [line.split() for line in shown[1:]] == [[x.label, f"{x.score:.4f}"] for x in labels]
    assert len(user.types("classify", path, "the king", "-k", "2").out.splitlines()) == 1 + 2


@pytest.mark.parametrize("name", ["three", "several"])
def test_a_pair_is_one_text(user: User, models: Models, name: str) -> None:
    path, model = models[name]
    report = user.types("classify", path, "the king", "--pair", "a queen", "--json").json
    assert report["pair"] == "a queen"
    assert report["results"][0]["labels"] == plain(model.classify([("the king", "a queen")])[0])


def test_texts_of_a_file_and_of_a_pipe(user: User, models: Models) -> None:
    path, model = models["three"]
    rows = b"".join(json.dumps({"t": text}).encode() + b"\n" for text in TEXTS)
    (user.home / "t.jsonl").write_bytes(rows)
    best = model.classify(TEXTS, top_k=1)
    report = user.types("classify", path, "--file", "t.jsonl", "--column", "t", "--json").json
    assert [result["labels"] for result in report["results"]] == plain(best)
    assert [result["text"] for result in report["results"]] == TEXTS
    for arguments in ([], ["--file", "-"]):
        done = user.types("classify", path, *arguments, piped=lines_of(TEXTS))
        header, *lines = done.out.splitlines()
        assert header.split() == ["line", "label", "score", "text"]
        assert [line.split()[:3] for line in lines] == [
            [str(i), x.label, f"{x.score:.4f}"] for i, (x,) in enumerate(best, 1)
        ]
    done = user.types("classify", path, "-k", "3", piped=lines_of(TEXTS))
    assert len(done.out.splitlines()) == 1 + 3 * len(TEXTS)
    assert user.types("classify", path, "--json").json["results"] == []


def test_texts_that_are_cut_or_repaired_are_told(user: User, models: Models) -> None:
    path, _ = models["three"]
    done = user.types("classify", path, "-q", piped=lines_of(["a", LONG]) + b"caf\xe9\n")
    assert done.code == 0
    repaired, cut = done.err.splitlines()
    assert repaired.startswith("warning: standard input: 1 character became U+FFFD")
    assert repaired.endswith("the first is in line 3")
    assert cut.startswith("warning: 1 of 3 texts were cut to ")


# rerank.


def test_documents_come_best_first(user: User, models: Models) -> None:
    path, model = models["one"]
    ranked = model.rerank("who sang", TEXTS)
    (user.home / "t.txt").write_bytes(lines_of(TEXTS))
    report = user.types("rerank", path, "who sang", "t.txt", "--json").json
    assert report["query"] == "who sang"
    assert report["results"] == [
        {"line": r.index + 1, "score": r.score, "text": TEXTS[r.index]} for r in ranked
    ]
    for arguments in ([], ["-"]):
        done = user.types("rerank", path, "who sang", *arguments, "-k", "2", piped=lines_of(TEXTS))
        header, *lines = done.out.splitlines()
        assert header.split() == ["score", "line", "document"]
        assert [line.split()[:2] for line in lines] == [
            [f"{r.score:.4f}", str(r.index + 1)] for r in ranked[:2]
        ]


# Refusals.


@pytest.mark.parametrize(
    ("model", "arguments", "code", "message"),
    [
        ("masks", ["fill-mask", "no gap"], 2, "fill_mask: the text has no <mask>; put one where"),
        ("masks", ["fill-mask", "<mask>", "-k", "0"], 2, "top_k: expected a whole number ≥ 1"),
        ("masks", ["fill-mask"], 2, "no TEXT, and standard input is empty. Give one:  lapwing f"),
        ("masks", ["classify", "a"], 2, "{path}: has no sequence-classification head"),
        ("three", ["fill-mask", "[MASK]"], 2, "{path}: has no masked-language head"),
        ("three", ["classify", "a", "--file", "t"], 2, "TEXT and --file are given; expected one"),
        ("three", ["classify", "--file", "no.txt"], 4, "no.txt: no such file (looked in "),
        ("three", ["rerank", "a", "-"], 2, "rerank: needs a model of one label; this one has 3"),
        ("none", ["classify", "a"], 2, "classify: {path} is a causal language model (gpt2)"),
        ("none", ["fill-mask", "a"], 2, "fill_mask: {path} is a causal language model (gpt2)"),
        ("none", ["rerank", "a", "-"], 2, "rerank: {path} is a causal language model (gpt2)"),
    ],
)
def test_what_cannot_be_is_refused(
    user: User, models: Models, model: str, arguments: list[str], code: int, message: str
) -> None:
    path, _ = models[model]
    verb, *rest = arguments
    done = user.types(verb, path, *rest)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"error: {message.format(path=path)}")
    assert done.err.count("\n") == 1


def test_a_terminal_without_texts_is_told_how(user: User, models: Models) -> None:
    for verb, example in (
        (["classify"], 'lapwing classify MODEL "The wren sang."'),
        (["rerank", "query"], "lapwing rerank MODEL"),
        (["embed"], "lapwing embed MODEL texts.txt"),
    ):
        shown, code = user.types_on_terminal(verb[0], models["three"][0], *verb[1:])
        assert code == 2
        assert f"no texts. Give some:  {example}" in shown.replace("\n", " ")
