"""A store is of the files it was made from, as they were then: any change of them makes it anew."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from stores import store_in
from tiny import read_checkpoint, write_gpt2, write_safetensors

import lapwing
from lapwing.engine import making
from lapwing.weights.hub import bundled_models
from lapwing.weights.store import shelf
from lapwing.weights.store.file import StoreFile
from lapwing.weights.store.source import Source, describe

SMALL = {"n_embd": 32, "n_head": 2, "n_layer": 1, "vocab_size": 2048}
WEIGHTS, TENSOR = "model.safetensors", "transformer.h.0.mlp.c_fc.weight"
IDS = [3, 1, 4, 1, 5, 9]


def write(directory: Path, seed: int = 1) -> Path:
    write_gpt2(directory, seed=seed, **SMALL)
    shutil.copy(bundled_models()["tales"] / "tokenizer.json", directory)
    return directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write(tmp_path / "model")


def logits(directory: Path, **arguments: Any) -> NDArray[np.float32]:
    with lapwing.load(directory, threads=1, **arguments) as model:
        return model.forward(IDS)


class Packs:
    """How often a store was packed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._pack = making.pack
        monkeypatch.setattr(making, "pack", self)

    def __call__(self, *arguments: Any) -> None:
        self.count += 1
        self._pack(*arguments)


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> Packs:
    return Packs(monkeypatch)


def test_a_store_is_made_once(directory: Path, cache: Path, packs: Packs) -> None:
    first = logits(directory)
    inode = store_in(cache).stat().st_ino
    for dtype, load in (("int8", "auto"), ("int4", "auto"), ("int8", "eager"), ("int8", "lazy")):
        got = logits(directory, dtype=dtype, load=load)
        assert np.array_equal(got, first) == (dtype == "int8")
    assert packs.count == 1
    assert store_in(cache).stat().st_ino == inode
    (directory / "notes.txt").write_text("nothing that a model is read from")
    (directory / "weights").mkdir()
    logits(directory)
    assert packs.count == 1


def test_floats_have_stores_of_their_own(directory: Path, cache: Path, packs: Packs) -> None:
    for dtype in ("int8", "f16", "bf16", "int4", "f16", "bf16"):
        logits(directory, dtype=dtype)
    assert packs.count == 3
    assert len(list((cache / "stores").glob("*.safetensors"))) == 3
    logits(directory, dtype="f32")  # read in place: none is needed
    assert packs.count == 3


def test_none_is_made_where_none_is_wanted(directory: Path, cache: Path, packs: Packs) -> None:
    want = logits(directory, store=False)
    assert not cache.exists()
    assert np.array_equal(want, logits(directory))
    assert np.array_equal(want, logits(directory, store=False))
    assert packs.count == 1


# Ways to change a model. Those of weights give other answers.


def rewrite(directory: Path) -> None:
    """In place, as many bytes."""
    tensors = read_checkpoint(directory)
    tensors[TENSOR] = -tensors[TENSOR]
    size = (directory / WEIGHTS).stat().st_size
    write_safetensors(directory / WEIGHTS, tensors, "F32")
    assert (directory / WEIGHTS).stat().st_size == size


def rewrite_and_restore_times(directory: Path) -> None:
    times = (directory / WEIGHTS).stat()
    rewrite(directory)
    os.utime(directory / WEIGHTS, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (directory / WEIGHTS).stat().st_mtime_ns == times.st_mtime_ns


def rewrite_and_turn_time_back(directory: Path) -> None:
    rewrite(directory)
    os.utime(directory / WEIGHTS, (10**9, 10**9))


def replace_by_an_older_file(directory: Path) -> None:
    """As `mv` and `rsync -t` do: its times are those it had elsewhere."""
    other = directory.with_name("elsewhere.safetensors")
    times = (directory / WEIGHTS).stat()
    shutil.copy(directory / WEIGHTS, directory.with_name("kept"))
    rewrite(directory)
    shutil.copy(directory / WEIGHTS, other)
    shutil.copy(directory.with_name("kept"), directory / WEIGHTS)
    os.utime(directory / WEIGHTS, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(directory / WEIGHTS)


def change_one_byte(directory: Path) -> None:
    """Of the last tensor, through a mapping's kind of write: nothing is truncated."""
    with (directory / WEIGHTS).open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(b"\x3e")


def other_model(directory: Path) -> None:
    shutil.rmtree(directory)
    write(directory, seed=2)


def in_shards(directory: Path) -> None:
    (directory / WEIGHTS).unlink()
    write_gpt2(directory, seed=2, shards=2, **SMALL)


CHANGES = (
    rewrite,
    rewrite_and_restore_times,
    rewrite_and_turn_time_back,
    replace_by_an_older_file,
    change_one_byte,
    other_model,
    in_shards,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_weights_make_another_store(
    change: Callable[[Path], None], directory: Path, cache: Path, packs: Packs
) -> None:
    before = logits(directory)
    time.sleep(0.02)  # clocks of file systems tick
    change(directory)
    expected = logits(directory, store=False)
    assert not np.array_equal(before, expected)
    for load in ("auto", "eager", "progressive"):
        assert np.array_equal(logits(directory, load=load), expected)
    assert packs.count == 2
    store_in(cache)  # still one: it took the other's place
    assert shelf.stores()[0].state == "fresh"


def change_tokenizer(directory: Path) -> None:
    path = directory / "tokenizer.json"
    path.write_bytes(path.read_bytes() + b"\n")


def add_a_file(directory: Path) -> None:
    (directory / "generation_config.json").write_text('{"eos_token_id": 7}')


def remove_a_file(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()


def add_a_template(directory: Path) -> None:
    (directory / "additional_chat_templates").mkdir()
    (directory / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")


def add_a_shard(directory: Path) -> None:
    shutil.copy(directory / WEIGHTS, directory / "model-00001-of-00001.safetensors")


def change_config(directory: Path) -> None:
    path = directory / "config.json"
    path.write_text(path.read_text().replace('"eos_token_id": 0', '"eos_token_id": 9'))


@pytest.mark.parametrize(
    "change",
    [change_tokenizer, add_a_file, remove_a_file, add_a_template, add_a_shard, change_config],
    ids=lambda change: change.__name__,
)
def test_other_files_are_part_of_it(
    change: Callable[[Path], None], directory: Path, cache: Path, packs: Packs
) -> None:
    """The store carries them, so that it can run alone."""
    before = logits(directory)
    change(directory)
    assert [stored.state for stored in shelf.stores()] == ["stale"]
    assert np.array_equal(logits(directory), before)
    assert packs.count == 2
    store = StoreFile(store_in(cache))
    inside = {name[5:]: store.view(name).tobytes() for name in store.tensors if name[:5] == "file/"}
    store.close()
    paths = [*directory.glob("*.json"), *directory.glob("*/*.jinja")]
    assert inside == {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def test_a_file_that_changes_while_it_is_packed(
    directory: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is of the files before; the next load makes another."""

    def meddle(*arguments: Any) -> None:
        pack(*arguments)
        rewrite(directory)

    pack = making.pack
    monkeypatch.setattr(making, "pack", meddle)
    logits(directory)
    monkeypatch.setattr(making, "pack", pack)
    assert [stored.state for stored in shelf.stores()] == ["stale"]
    assert np.array_equal(logits(directory), logits(directory, store=False))


def test_two_names_of_a_directory_share_a_store(
    directory: Path, cache: Path, packs: Packs, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = directory.with_name("link")
    link.symlink_to(directory)
    monkeypatch.chdir(directory.parent)
    for name in (directory, link, Path("model"), Path("link"), directory / ".." / "model"):
        logits(name)
    assert packs.count == 1


def test_directories_of_one_name_do_not(tmp_path: Path, cache: Path, packs: Packs) -> None:
    answers = [logits(write(tmp_path / f"{seed}" / "model", seed)) for seed in (1, 2)]
    again = [logits(tmp_path / f"{seed}" / "model") for seed in (1, 2)]
    assert packs.count == 2
    assert not np.array_equal(*answers)
    assert all(map(np.array_equal, answers, again))


# Source, by itself.


def test_a_source_knows_its_files(directory: Path) -> None:
    source = describe(directory)
    files = [WEIGHTS, "config.json", "tokenizer.json"]
    assert source.nbytes == sum((directory / name).stat().st_size for name in files)
    assert source.directory == os.path.realpath(directory)
    assert (source.name, source.commit, source.refs) == (None, None, ())
    assert source.title == source.directory
    assert describe(directory) == source
    assert Source.from_dict(source.to_dict()) == source


def test_a_snapshot_of_the_hub_has_its_name(tmp_path: Path) -> None:
    repo = tmp_path / "models--org--some-model"
    commit = "c" * 40
    write_gpt2(repo / "snapshots" / commit, seed=1, **SMALL)
    for ref, at in (("main", commit), ("refs/pr/3", commit), ("v1", "d" * 40)):
        (repo / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (repo / "refs" / ref).write_text(at)
    source = describe(repo / "snapshots" / commit)
    assert (source.name, source.commit) == ("org/some-model", commit)
    assert source.refs == ("main", "refs/pr/3")
    assert source.title == "org/some-model"


def test_a_place_on_the_shelf_is_named_for_people(tmp_path: Path, cache: Path) -> None:
    source = Source("/models/my model (v2)", "f", 1)
    path = shelf.path_for(source, "planes")
    assert path is not None
    assert path.parent == cache / "stores"
    assert path.name.startswith("my-model-v2-.")
    assert path.name.endswith(".planes.safetensors")
    others = [
        shelf.path_for(source, "f16"),
        shelf.path_for(replace(source, directory="/elsewhere/my model (v2)"), "planes"),
        shelf.path_for(replace(source, name="org/my"), "planes"),
    ]
    assert len({path, *others}) == 4
    assert others[2] is not None
    assert others[2].name.startswith("org--my.")
    assert shelf.path_for(replace(source, fingerprint="g"), "planes") == path


def test_a_directory_that_is_gone_is_no_longer_there(directory: Path) -> None:
    source = describe(directory)
    assert shelf.state_of(source) == "fresh"
    change_config(directory)
    assert shelf.state_of(source) == "stale"
    for path in directory.iterdir():
        path.unlink()
    assert shelf.state_of(source) == "alone"  # an empty folder is no model
    directory.rmdir()
    assert shelf.state_of(source) == "alone"
