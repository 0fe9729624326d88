"""Stores through the door: pack, verify, ls, rm, and the options of a load."""

from __future__ import annotations

import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from chats import write_chat_model
from e2e.command import Outcome, User
from e2e.hub_server import HubServer
from tiny_sentences import write_task_model

import lapwing
from lapwing.cli import progress
from lapwing.cli.answer import print_stream
from lapwing.cli.main import main
from lapwing.cli.progress import LoadingBar
from lapwing.engine.answer import Answer
from lapwing.weights.hub import bundled_models
from lapwing.weights.store.file import StoreFile
from lapwing.weights.store.reader import StreamReader
from lapwing.weights.store.upkeep import verify

PROMPT = "Once upon a time"
ANSWER = (PROMPT, "-n", "8", "-q")
TALES = bundled_models()["tales"]
SMALL = ("config.json", "tokenizer.json", "model.safetensors")


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


class Here(User):
    """As a User, in this process, which is quicker; not for what reads the hub's cache."""

    def types(self, *args: str, piped: bytes | None = None) -> Outcome:
        assert piped is None
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = main(args)
        return Outcome(out.getvalue(), err.getvalue(), code)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("LAPWING_CACHE", str(tmp_path / "lapwing"))
    monkeypatch.chdir(tmp_path)
    return Here(tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory of one's own."""
    shutil.copytree(TALES, tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture(scope="module")
def expected() -> str:
    with lapwing.load("tales") as tales:
        return tales.generate(PROMPT, max_tokens=8).text + "\n"


def packed(user: User, name: str | Path, *options: str) -> Path:
    """The store of a model, made."""
    return Path(user.types("pack", str(name), *options, "--json").json["path"])


def damage(store: Path, tensor: str) -> None:
    """Turns a bit in the middle of a tensor."""
    file = StoreFile(store)
    info = file.tensors[tensor]
    file.close()
    with store.open("r+b") as raw:
        raw.seek((info.begin + info.end) // 2)
        byte = raw.read(1)[0]
        raw.seek(-1, 1)
        raw.write(bytes([byte ^ 1]))


def first_base(store: Path) -> str:
    file = StoreFile(store)
    file.close()
    return next(name for name in file.tensors if name.startswith("base/"))


# pack.


def test_pack_makes_the_store_that_a_load_maps(here: Here, model: Path, expected: str) -> None:
    done = here.types("pack", str(model), "--json").json
    store = Path(done["path"])
    assert store.parent == here.home / "lapwing" / "stores"
    assert (done["needed"], done["scheme"], done["planes"]) == (True, "planes", "both")
    assert done["bytes"] == store.stat().st_size
    before = store.stat()
    again = here.types("pack", str(model))
    assert again.out == f"{store}: 4.5 MiB, planes (both)\n"
    assert here.types("run", str(model), *ANSWER).out == expected
    after = store.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_float_that_is_read_in_place_needs_no_store(here: Here) -> None:
    done = here.types("pack", "tales", "--dtype", "f16")
    assert done.out == "tales: f16 is read where the checkpoint has it; no store is needed\n"
    report = here.types("pack", "tales", "--dtype", "f16", "--json").json
    assert (report["needed"], report["path"], report["bytes"]) == (False, None, None)
    assert not (here.home / "lapwing").exists()
    assert packed(here, "tales", "--dtype", "bf16").name.endswith(".bf16.safetensors")


def test_a_packed_file_runs_alone(here: Here, model: Path, expected: str) -> None:
    file = packed(here, model, "-o", "away/mine.store")
    assert file == Path("away/mine.store")
    assert [path.name for path in (here.home / "away").iterdir()] == ["mine.store"]
    shutil.rmtree(model)
    moved = (here.home / "away/mine.store").rename(here.home / "moved")
    for mode in ("mapped", "progressive", "eager"):
        assert here.types("run", "moved", *ANSWER, "--load", mode).out == expected
    assert here.types("tokenize", "moved", "a", "--json").json["pieces"] == ["a"]
    assert here.types("show", "moved", "--json").json["directory"] == "moved"
    assert here.types("verify", "moved").out == (
        "moved: whole; its checkpoint is not here, and it runs alone\n"
    )
    wrong = here.types("run", "moved", *ANSWER, "--dtype", "f16")
    assert wrong.code == 2
    assert "moved is a store of planes; got f16. Ask for int8, or int4." in wrong.err
    assert moved.is_file()


def test_a_packed_file_of_floats_runs_alone(here: Here) -> None:
    packed(here, "tales", "--dtype", "f16", "-o", "half")
    with lapwing.load("tales", dtype="f16") as tales:
        text = tales.generate(PROMPT, max_tokens=8).text
    for options in ((), ("--dtype", "f16")):
        assert here.types("run", "half", *ANSWER, *options).out == text + "\n"
    assert here.types("show", "half", "--json").json["dtype"] == "f16"


def test_base_planes_serve_int4_alone(here: Here) -> None:
    refused = here.types("pack", "tales", "--planes", "base", "--dtype", "int8")
    assert refused.code == 2
    assert "planes: base planes serve int4 alone; got dtype int8" in refused.err
    report = here.types("pack", "tales", "--planes", "base", "-o", "half", "--json").json
    assert report["planes"] == "base"
    with lapwing.load("tales", dtype="int4") as tales:
        text = tales.generate(PROMPT, max_tokens=8).text
    for options in ((), ("--dtype", "int4")):
        assert here.types("run", "half", *ANSWER, *options).out == text + "\n"
    assert here.types("run", "half", PROMPT, "--json").json["dtype"] == "int4"
    assert here.types("run", "half", *ANSWER, "--rising").code == 2
    wrong = here.types("run", "half", *ANSWER, "--dtype", "int8")
    assert wrong.code == 2
    assert "keeps base planes only; got int8. Ask for int4." in wrong.err


def test_pack_replaces_a_store_and_no_other_file(here: Here, model: Path) -> None:
    weights = model / "model.safetensors"
    before = weights.read_bytes()
    done = here.types("pack", "tales", "-o", str(weights))
    assert done.code == 2
    assert "is there, and no store; expected a new file, or one to replace" in done.err
    assert weights.read_bytes() == before
    assert packed(here, "tales", "-o", "own") == packed(here, "tales", "-o", "own")


def test_pack_tells_where_it_cannot_write_and_what_is_no_model(here: Here) -> None:
    (here.home / "file").write_text("no folder")
    done = here.types("pack", "tales", "-o", "file/x")
    assert done.code == 3
    assert "file/x: no store was written: " in done.err
    (here.home / "empty").mkdir()
    done = here.types("pack", "empty")
    assert done.code == 4
    assert "no store was written" not in done.err


# verify.


def test_verify_names_what_is_damaged(here: Here, model: Path) -> None:
    nothing = here.types("verify")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "there are no stores\n")
    good, bad = packed(here, "tales"), packed(here, model)
    whole = here.types("verify")
    assert (whole.code, whole.err) == (0, "")
    assert whole.out == f"{bad.name}: whole\n{good.name}: whole\n"
    assert all(path.with_name(path.name + ".checked").is_file() for path in (good, bad))
    tensor = first_base(bad)
    damage(bad, tensor)
    done = here.types("verify")
    assert done.code == 4
    assert done.out == f"{bad.name}: damaged: '{tensor}'\n{good.name}: whole\n"
    assert f"error: {bad}: damaged: '{tensor}'. Remove it (lapwing rm {bad.name} --store)" in (
        done.err
    )
    assert here.types("verify", "tales").code == 0
    reported = here.types("verify", str(model), "--json")
    assert reported.code == 4
    (report,) = json.loads(reported.out)
    assert (report["whole"], report["damaged"], report["state"]) == (False, [tensor], "fresh")
    assert here.types("rm", bad.name, "--store", "--yes").code == 0
    assert here.types("verify").code == 0


def test_verify_checks_the_header(here: Here, model: Path) -> None:
    store = packed(here, model)
    raw = bytearray(store.read_bytes())
    raw[200] ^= 1
    store.write_bytes(raw)
    for name in (str(model), store.name, str(store)):
        done = here.types("verify", name)
        assert done.code == 4
        assert done.out.startswith(f"{store.name}: damaged: ")
        assert "damaged: its header. Remove it" in done.err
    assert here.types("rm", str(model), "--store", "--yes").code == 0
    assert not store.exists()


def test_verify_tells_a_changed_source(here: Here, model: Path) -> None:
    packed(here, model)
    (model / "config.json").touch()
    done = here.types("verify", str(model))
    assert done.code == 0
    assert ": stale: whole, but its checkpoint has changed" in done.out
    assert here.types("verify", "--json").json[0]["state"] == "stale"


def test_verify_of_what_has_no_store(here: Here) -> None:
    done = here.types("verify", "tales")
    assert done.code == 4
    assert done.err.startswith("error: tales: there is no store of it. lapwing ls lists them")


# ls.


def test_ls_has_stores_with_their_state(user: User, here: Here, model: Path) -> None:
    names = ("gone", "changed", "broken")
    for name in names:
        shutil.copytree(model, user.home / name)
    stores = {name: packed(here, name) for name in ("tales", "mine", *names)}
    shutil.rmtree(user.home / "gone")
    (user.home / "changed" / "config.json").touch()
    stores["broken"].write_bytes(stores["broken"].read_bytes()[:100])
    rows = {Path(row["name"]).name: row for row in user.types("ls", "--json").json}
    states = {name: row["stores"][0]["state"] for name, row in rows.items()}
    assert states == {
        "tales": "fresh",
        "mine": "fresh",
        "gone": "alone",
        "changed": "stale",
        stores["broken"].name: "damaged",
    }
    assert rows["mine"]["stores"] == [
        {
            "path": str(stores["mine"]),
            "bytes": stores["mine"].stat().st_size,
            "scheme": "planes",
            "planes": "both",
            "state": "fresh",
        }
    ]
    assert rows["mine"]["store_bytes"] == stores["mine"].stat().st_size
    assert rows["mine"]["size_bytes"] >= (TALES / "model.safetensors").stat().st_size
    assert (rows["gone"]["size_bytes"], rows["gone"]["model_type"]) == (0, "gpt2")
    shown = user.types("ls").out.splitlines()
    assert shown[0].split() == ["model", "revision", "type", "runs", "size", "store", "state"]
    gone = next(line for line in shown if "/gone " in line)
    assert re.search(r"gpt2  yes +–  4\.5 MiB  alone$", gone)


def test_ls_counts_every_store_of_a_model(user: User, here: Here) -> None:
    stores = [packed(here, "tales"), packed(here, "tales", "--dtype", "bf16")]
    (row,) = user.types("ls", "--json").json
    assert {store["scheme"]: store["planes"] for store in row["stores"]} == {
        "planes": "both",
        "bf16": None,
    }
    assert row["store_bytes"] == sum(store.stat().st_size for store in stores)


# rm, of what is no hub model.


def test_rm_store_of_a_directory_a_bundled_model_and_a_file(here: Here, model: Path) -> None:
    for name in (str(model), "tales", None):
        store = packed(here, name or "tales")
        size = store.stat().st_size
        done = here.types("rm", name or store.name, "--store", "--yes", "--json").json
        assert (done["freed_bytes"], done["source_freed_bytes"]) == (size, 0)
        assert done["store_freed_bytes"] == size
        assert not list(store.parent.glob("[!.]*"))
    assert (model / "model.safetensors").is_file()
    absent = here.types("rm", "tales", "--store", "--yes")
    assert absent.code == 4
    assert "there is no store of it" in absent.err


def test_rm_of_a_directory_refuses_and_tells_of_its_stores(here: Here, model: Path) -> None:
    store = packed(here, model)
    for option in ((), ("--source",)):
        done = here.types("rm", str(model), "--yes", *option)
        assert done.code == 2
        assert f"lapwing rm {model} --store" in done.err
    assert here.types("rm", "tales", "--store", "--source").code == 2
    assert store.is_file()
    assert (model / "model.safetensors").is_file()


def test_rm_store_asks(user: User, here: Here) -> None:
    store = packed(here, "tales")
    unasked = here.types("rm", "tales", "--store")
    assert unasked.code == 2
    assert "pass --yes" in unasked.err
    shown, code = user.types_on_terminal("rm", "tales", "--store", answer="n\n")
    assert (code, store.is_file()) == (0, True)
    assert f"{store}: 4.5 MiB, a store" in shown
    assert "nothing was deleted" in shown
    shown, code = user.types_on_terminal("rm", "tales", "--store", answer="y\n")
    assert (code, store.is_file()) == (0, False)


# rm, of a hub model.


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        files = {name: (TALES / name).read_bytes() for name in SMALL}
        repository = server.add("birds/wren")
        repository.commit({**files, "vocab.json": b"{}"}, ref="v1")
        repository.commit(files)
        yield server


@pytest.fixture
def puller(user: User, hub: HubServer) -> User:
    """Has fetched birds/wren, and is offline again."""
    assert online(user, hub).types("pull", "birds/wren").code == 0
    return user


def online(user: User, hub: HubServer) -> User:
    env = {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    return User(user.home, env)


def test_rm_frees_copy_and_stores(puller: User) -> None:
    store = packed(puller, "birds/wren")
    (row,) = (row for row in puller.types("ls", "--json").json if row["name"] == "birds/wren")
    size = store.stat().st_size
    assert row["store_bytes"] == size
    assert row["size_bytes"] >= 7_000_000
    done = puller.types("rm", "birds/wren", "--yes", "--json").json
    assert done["store_freed_bytes"] == size
    assert done["source_freed_bytes"] >= row["size_bytes"]
    assert done["freed_bytes"] == done["store_freed_bytes"] + done["source_freed_bytes"]
    assert [row["name"] for row in puller.types("ls", "--json").json] == ["tales"]
    assert not store.exists()
    assert puller.types("rm", "birds/wren", "--yes").code == 4


def test_rm_source_leaves_a_store_that_runs_alone(puller: User, expected: str) -> None:
    assert puller.types("run", "birds/wren", *ANSWER).out == expected
    done = puller.types("rm", "birds/wren", "--source", "--yes", "--json").json
    assert done["source_freed_bytes"] == done["freed_bytes"] >= 7_000_000
    assert done["store_freed_bytes"] == 0
    rows = {row["name"]: row for row in puller.types("ls", "--json").json}
    assert rows["birds/wren"]["size_bytes"] == 0
    assert rows["birds/wren"]["revision"] == "main"
    assert rows["birds/wren"]["stores"][0]["state"] == "alone"
    for options in ((), ("--revision", "main"), ("--load", "progressive")):
        assert puller.types("run", "birds/wren", *ANSWER, *options).out == expected
    assert puller.types("show", "birds/wren", "--json").json["model_type"] == "gpt2"
    assert puller.types("tokenize", "birds/wren", "a", "--json").json["pieces"] == ["a"]
    other = puller.types("run", "birds/wren@v2", *ANSWER)
    assert other.code == 4
    gone = puller.types("rm", "birds/wren", "--source", "--yes")
    assert gone.code == 4
    assert "not in the cache" in gone.err
    assert puller.types("rm", "birds/wren", "--yes", "--json").json["store_freed_bytes"] > 0
    assert puller.types("run", "birds/wren", *ANSWER).code == 4


def test_rm_source_needs_a_whole_store(puller: User) -> None:
    directory = Path(puller.types("ls", "--json").json[1]["directory"])

    def refused() -> str:
        done = puller.types("rm", "birds/wren", "--source", "--yes")
        assert done.code == 4
        assert "nothing was deleted" in done.err
        assert (directory / "model.safetensors").is_file()
        return done.err

    unpacked = refused()
    assert "there is no store of main" in unpacked
    assert "lapwing pack birds/wren@main" in unpacked
    store = packed(puller, "birds/wren")
    before = store.read_bytes()
    damage(store, first_base(store))
    damaged = refused()
    assert f"damaged: '{first_base(store)}'" in damaged
    assert "lapwing rm birds/wren --store" in damaged
    store.write_bytes(before[:100])
    assert "is damaged" in refused()
    store.write_bytes(before)
    (directory / "vocab.json").write_text("{}")
    assert "is stale" in refused()
    (directory / "vocab.json").unlink()
    assert puller.types("rm", "birds/wren", "--source", "--yes").code == 0


def test_rm_of_a_revision_leaves_the_others(puller: User, hub: HubServer) -> None:
    assert online(puller, hub).types("pull", "birds/wren@v1").code == 0
    store = packed(puller, "birds/wren")
    done = puller.types("rm", "birds/wren", "--source", "--yes")
    assert done.code == 4
    assert "there is no store of v1" in done.err
    assert "lapwing pack birds/wren@v1" in done.err
    other = packed(puller, "birds/wren@v1")
    assert other != store
    assert puller.types("rm", "birds/wren@main", "--source", "--yes").code == 0
    assert puller.types("rm", "birds/wren@v1", "--yes").code == 0
    assert (store.is_file(), other.is_file()) == (True, False)
    rows = [row for row in puller.types("ls", "--json").json if row["name"] == "birds/wren"]
    assert [row["revision"] for row in rows] == ["main"]
    assert rows[0]["stores"][0]["state"] == "alone"


def test_a_chat_goes_on_without_its_checkpoint(here: Here) -> None:
    directory = write_chat_model(here.home / "chat", n_embd=32)
    arguments = ("run", "chat", "--chat", "Hello", "-n", "3", "-q")
    before = here.types(*arguments)
    assert before.code == 0, before.err
    shutil.rmtree(directory)
    assert here.types(*arguments).out == before.out


# How weights come.


@pytest.mark.parametrize("mode", ["mapped", "lazy", "progressive", "eager"])
def test_every_way_to_load_says_the_same(
    mode: str, capsys: pytest.CaptureFixture[str], expected: str
) -> None:
    assert main(["run", "tales", PROMPT, "-n", "8", "--load", mode, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["load"], report["text"] + "\n") == (mode, expected)


def test_no_store_makes_none(here: Here, expected: str) -> None:
    assert here.types("run", "tales", *ANSWER, "--no-store").out == expected
    assert not (here.home / "lapwing" / "stores").exists()
    wrong = here.types("run", "tales", *ANSWER, "--no-store", "--load", "progressive")
    assert wrong.code == 2
    assert "store=False" in wrong.err


def test_a_load_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "tales", "a", "--load", "quick"]) == 2
    assert "load: expected one of auto, mapped, lazy" in capsys.readouterr().err


def test_encoders_have_the_same_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAPWING_CACHE", str(tmp_path / "cache"))
    masks = write_task_model(tmp_path / "masks", seed=1, family="roberta", head="mlm")
    labels = write_task_model(tmp_path / "labels", seed=2, family="bert", labels="abc")
    one = write_task_model(tmp_path / "one", seed=4, family="xlm-roberta", labels=["fits"])
    documents = tmp_path / "documents.txt"
    documents.write_text("the king\nthe water\n")
    for line in (
        ["fill-mask", str(masks), "the <mask>"],
        ["classify", str(labels), "the king"],
        ["rerank", str(one), "the", str(documents)],
        ["embed", str(labels), "--text", "the king"],
    ):
        assert main([*line, "-q", "--no-store"]) == 0
        said = capsys.readouterr().out
        assert not (tmp_path / "cache" / "stores").exists()
        for mode in ("progressive", "eager"):
            assert main([*line, "-q", "--load", mode]) == 0
            assert capsys.readouterr().out == said
        shutil.rmtree(tmp_path / "cache" / "stores")


# Precision that rises.


@pytest.fixture
def risen_after_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refine planes are read between the third token and the fourth."""
    wanted, readers, taken = threading.Event(), list[StreamReader](), list[int]()
    read, take = StreamReader._read, Answer.take

    def hold_back(self: StreamReader, piece: str, *rest: Any) -> bool:
        readers.append(self)
        if piece.startswith("refine/"):
            wanted.wait()
        return read(self, piece, *rest)

    def count(self: Answer, logits: Any) -> Any:
        chunks = take(self, logits)
        taken.append(1)
        if len(taken) == 3:
            wanted.set()
            readers[0].finish()
        return chunks

    monkeypatch.setattr(StoreFile, "read_ahead", lambda self, pieces: None)
    monkeypatch.setattr(StreamReader, "_read", hold_back)
    monkeypatch.setattr(Answer, "take", count)


RISING = ["run", "tales", PROMPT, "-n", "8", "--rising"]


@pytest.mark.usefixtures("risen_after_three")
def test_rising_is_in_the_closing_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(RISING) == 0
    assert " · int4 until token 3, then int8 · int8, cpu " in capsys.readouterr().err


@pytest.mark.usefixtures("risen_after_three")
def test_rising_is_in_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RISING, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (switch,) = report["precision_switches"]
    assert (switch["token"], switch["dtype"]) == (3, "int8")
    assert (report["load"], report["dtype"]) == ("progressive", "int8")


def test_rising_needs_int8_and_a_progressive_load(capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--dtype", "int4"], ["--load", "mapped"]):
        assert main([*RISING, *options]) == 2
        assert "error: rising: " in capsys.readouterr().err


# The bar.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error from here on; bars come at once."""
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    return shown


def test_a_bar_that_was_stopped_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with LoadingBar("loading") as bar:
        reader = threading.Thread(target=bar, args=(1, 2))
        reader.start()
        reader.join()
        assert "loading" in terminal.getvalue()
        bar.stop()
        before = terminal.getvalue()
        reader = threading.Thread(target=bar, args=(1, 3))
        reader.start()
        reader.join()
        bar.stop()
        assert terminal.getvalue() == before


def test_a_bar_is_gone_where_a_store_is_read(monkeypatch: pytest.MonkeyPatch, here: Here) -> None:
    store = packed(here, "tales")
    terminal, told = on_terminal(monkeypatch), list[tuple[int, int]]()
    with LoadingBar("verifying") as bar:
        for done, total in [(1, 2), (2, 2)]:
            bar(done, total)
        assert "verifying" in terminal.getvalue()
        assert bar._bar is None
    (proof,) = verify("tales", lambda done, total: told.append((done, total)))
    assert proof.whole
    assert told == sorted(told)
    assert told[-1] == (store.stat().st_size,) * 2


def test_a_bar_goes_before_the_first_piece_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    bar, seen = LoadingBar("loading"), list[bool]()
    monkeypatch.setattr("lapwing.cli.answer.write", lambda text: seen.append(bar.stopped))
    with lapwing.load("tales", load="progressive", on_progress=bar) as tales, bar:
        stream = tales.stream(PROMPT, max_tokens=3)
        bar(1, 2)
        assert "loading" in terminal.getvalue()
        print_stream(stream, PROMPT, bar)
        bar(1, 2)
    assert len(seen) >= 2
    assert all(seen)
    assert stream.result.text
