"""Stores while the world works against them: races, kills, full disks, folders that take nothing.

Run as a program, this file is a process of its own: `test_store_hostile.py STEP ARGUMENTS`.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lapwing
from lapwing.engine import making
from lapwing.weights.store.file import StoreFile

if __name__ == "__main__":  # in a process of its own, where pytest has set no paths
    sys.path.insert(0, str(Path(__file__).parents[1]))

from stores import drafts_in, store_in
from tiny import write_gpt2

SOURCES = Path(lapwing.__file__).parents[1]
SMALL = {"n_embd": 32, "n_head": 2, "n_layer": 1, "vocab_size": 64}
LARGER = {"n_embd": 64, "n_head": 4, "n_layer": 2, "vocab_size": 512}
IDS = [3, 1, 4, 1, 5, 9]
KILLS = 100

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_gpt2(tmp_path / "model", seed=1, **SMALL)


def logits(name: Path, **arguments: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    with lapwing.load(name, threads=1, **arguments) as model:
        return model.forward(IDS)


def starts(step: str, *arguments: object, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, step, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SOURCES), "OPENBLAS_NUM_THREADS": "1", **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


# Several at once.


def step_load(directory: str, log: str) -> None:
    """Loads when it is told to; a line of `log` for each store that is packed here."""

    def noted(*arguments: Any) -> None:
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.2)  # long enough for the others to come upon it
        pack(*arguments)

    pack, making.pack = making.pack, noted
    print("ready", flush=True)
    sys.stdin.readline()
    print(hashlib.sha256(logits(Path(directory)).tobytes()).hexdigest(), flush=True)


@pytest.mark.parametrize("count", [2, 4])
def test_many_make_a_store_at_once(
    count: int, directory: Path, cache: Path, tmp_path: Path
) -> None:
    """One packs it, the others wait and take it."""
    expected = hashlib.sha256(logits(directory, store=False).tobytes()).hexdigest()
    log = tmp_path / "packs"
    processes = [starts("load", directory, log) for _ in range(count)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, f"{expected}\n")
    assert len(log.read_text().splitlines()) == 1
    assert drafts_in(cache) == []
    store = StoreFile(store_in(cache))
    assert store.damaged() == []
    store.close()


def test_one_that_is_killed_does_not_keep_the_others(
    directory: Path, cache: Path, tmp_path: Path
) -> None:
    """A lock is the system's, and goes with its process."""
    expected = logits(directory, store=False)
    log = tmp_path / "packs"
    process = starts("load", directory, log)
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    process.stdin.write("go\n")
    process.stdin.flush()
    while not log.exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert np.array_equal(logits(directory), expected)
    assert drafts_in(cache) == []


# kill -9.


def step_kills(directory: str, count: str) -> None:
    """Children that pack, killed after a while; what each left is printed.

    This process has imported everything and has no other threads, so that a child is a fork.
    """
    cache, rng = Path(os.environ["LAPWING_CACHE"]), random.Random(1)
    lapwing.load(directory, threads=1).close()
    deadline_s = time.monotonic() + 5
    while len(list(Path("/proc/self/task").iterdir())) > 1 and time.monotonic() < deadline_s:
        time.sleep(0.01)

    def child() -> int:
        pid = os.fork()
        if pid == 0:
            try:
                lapwing.load(directory, threads=1, load="lazy")
            finally:
                os._exit(0)
        return pid

    def timed() -> float:
        shutil.rmtree(cache, ignore_errors=True)
        began = time.perf_counter()
        os.waitpid(child(), 0)
        return time.perf_counter() - began

    whole_s = sorted(timed() for _ in range(5))[2]
    shutil.rmtree(cache)
    for turn in range(int(count)):
        pid = child()
        time.sleep((turn + rng.random()) / int(count) * whole_s * 1.1)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found = list((cache / "stores").glob("*.safetensors"))
        state = "none"
        for path in found:
            store = StoreFile(path)
            state = "whole" if store.damaged() == [] else "damaged"
            store.close()
        print(state, len(drafts_in(cache)), flush=True)
        for path in found:
            path.unlink()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux does")
def test_killed_at_any_moment_of_packing(tmp_path: Path, cache: Path) -> None:
    """There is no store then, or a whole one; what a dead process began is removed by the next."""
    directory = write_gpt2(tmp_path / "larger", seed=1, **LARGER)
    process = starts("kills", directory, KILLS)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    states = [line.split()[0] for line in out.splitlines()]
    drafts = [int(line.split()[1]) for line in out.splitlines()]
    assert len(states) == KILLS
    assert set(states) <= {"none", "whole"}
    assert states.count("none") > KILLS / 4  # they were killed on the way
    assert 1 in drafts
    assert max(drafts) <= 1  # each packing removes what the one before it left
    assert np.array_equal(logits(directory), logits(directory, store=False))
    assert drafts_in(cache) == []
    store = StoreFile(store_in(cache))
    assert store.damaged() == []
    store.close()


def test_a_rename_is_the_last_thing_that_happens(
    directory: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft is whole and on the disk before it takes its name, and then the name is."""
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(fd: int) -> None:
        order.append("folder" if Path(f"/proc/self/fd/{fd}").resolve().is_dir() else "file")
        fsync(fd)

    def renamed(draft: Path, target: Path) -> Path:
        store = StoreFile(draft)
        assert store.damaged() == []
        store.close()
        order.append("rename")
        return replace(draft, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    logits(directory)
    assert order == ["file", "rename", "folder"]
    store_in(cache)


# Disks and folders that take nothing.


def refuses(name: str, code: int, after: int = 0) -> Callable[[pytest.MonkeyPatch], None]:
    """A call of os that fails, after some that do not."""

    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        real, left = getattr(os, name), after

        def failing(*arguments: Any) -> Any:
            nonlocal left
            if left > 0:
                left -= 1
                return real(*arguments)
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, name, failing)

    return apply


def assert_warned(caplog: pytest.LogCaptureFixture, cache: Path, what: str) -> None:
    """Once, with what to do."""
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert record.name == "lapwing.engine.making"
    text = record.getMessage()
    for words in (
        str(cache),
        what,
        "no store was written",
        "runs from memory",
        "are free",
        "LAPWING_CACHE",
        "store=False",
    ):
        assert words in text, words
    assert len(text) < 800


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (refuses("posix_fallocate", errno.ENOSPC), "No space left on device"),
        (refuses("pwrite", errno.ENOSPC), "No space left on device"),
        (refuses("pwrite", errno.ENOSPC, after=20), "No space left on device"),
        (refuses("pwrite", errno.EDQUOT, after=5), "quota"),
        (refuses("fsync", errno.EIO), "Input/output error"),
        (refuses("mkdir", errno.EROFS), "Read-only file system"),
    ],
    ids=["no room", "first write", "later write", "quota", "sync", "no folder"],
)
@pytest.mark.parametrize("load", ["auto", "progressive", "mapped", "lazy"])
def test_a_disk_that_takes_no_store(
    fault: Callable[[pytest.MonkeyPatch], None],
    what: str,
    load: str,
    directory: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The model runs from memory, with the same answers, and says so."""
    expected = logits(directory, store=False)
    with monkeypatch.context() as patch:
        fault(patch)
        assert np.array_equal(logits(directory, load=load), expected)
    assert_warned(caplog, cache, what)
    assert list(cache.glob("stores/*.safetensors")) == []
    assert drafts_in(cache) == []
    caplog.clear()
    assert np.array_equal(logits(directory, load=load), expected)  # and now there is room
    store_in(cache)
    assert caplog.records == []


def test_a_cache_that_is_a_file(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    expected = logits(directory, store=False)
    for name, what in (("file", "Not a directory"), ("x" * 300, "File name too long")):
        caplog.clear()
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("LAPWING_CACHE", str(tmp_path / name))
        assert np.array_equal(logits(directory), expected)
        assert_warned(caplog, tmp_path / name, what)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_folder_in_the_place_of_a_store(directory: Path, cache: Path, caplog: Any) -> None:
    expected = logits(directory)
    path = store_in(cache)
    path.unlink()
    (path / "inside").mkdir(parents=True)
    assert np.array_equal(logits(directory), expected)
    assert "runs from memory" in caplog.text
    assert path.is_dir()
    assert drafts_in(cache) == []


def test_a_pipe_in_the_place_of_a_store(directory: Path, cache: Path) -> None:
    """Nobody waits for a writer."""
    expected = logits(directory)
    path = store_in(cache)
    path.unlink()
    os.mkfifo(path)
    assert np.array_equal(logits(directory), expected)
    assert path.is_file()


@pytest.mark.parametrize("damage", ["empty", "short", "noise", "another version", "header"])
def test_a_damaged_store_is_made_anew(
    damage: str, directory: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = logits(directory)
    path = store_in(cache)
    raw = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "short": raw[:70_000],
            "noise": random.Random(1).randbytes(100_000),
            "another version": raw.replace(b'"lapwing.version":"1"', b'"lapwing.version":"9"'),
            "header": raw.replace(b'"format"', b'"farmat"', 1),
        }[damage]
    )
    assert np.array_equal(logits(directory), expected)
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert "made anew" in record.getMessage()
    assert path.read_bytes()[70_000:] == raw[70_000:]


# Real ones.


def mount(folder: Path, *options: str) -> bool:
    done = subprocess.run(
        ["mount", *options, str(folder)], capture_output=True, text=True, check=False
    )
    return done.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, "-t", "tmpfs", "-o", "size=256k", "tmpfs"):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@as_root
def test_a_disk_that_is_full(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    directory = write_gpt2(tmp_path / "larger", seed=1, **LARGER)
    monkeypatch.setenv("LAPWING_CACHE", str(small_disk))
    expected = logits(directory, store=False)
    free = shutil.disk_usage(small_disk).free
    assert np.array_equal(logits(directory), expected)
    assert_warned(caplog, small_disk, "No space left on device")
    assert drafts_in(small_disk) == []
    assert list((small_disk / "stores").glob("*.safetensors")) == []
    assert shutil.disk_usage(small_disk).free >= free - 65536  # of the lock's folder, at most


@as_root
def test_a_disk_that_is_full_but_for_an_old_store(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was made anew and did not fit leaves the old one as it was."""
    directory = write_gpt2(tmp_path / "model", seed=1, n_embd=16, n_head=1, n_layer=1, vocab_size=9)
    monkeypatch.setenv("LAPWING_CACHE", str(small_disk))
    lapwing.load(directory, dtype="f16", threads=1).close()
    old = store_in(small_disk).read_bytes()
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free // 4096 * 4096))
    config = directory / "config.json"
    config.write_text(config.read_text() + "\n")
    with lapwing.load(directory, dtype="f16", threads=1) as model:
        assert model.load == "eager"
    assert store_in(small_disk).read_bytes() == old
    assert drafts_in(small_disk) == []


@pytest.fixture
def read_only(directory: Path, cache: Path) -> Iterator[Path]:
    """The cache with a store in it, which takes nothing any more, not even from root."""
    logits(directory)
    if not mount(cache, "--bind", str(cache)):
        pytest.skip("no folder can be mounted here")
    if not mount(cache, "-o", "remount,ro,bind"):
        subprocess.run(["umount", "-l", str(cache)], check=True)
        pytest.skip("no folder can be made read-only here")
    yield cache
    subprocess.run(["umount", "-l", str(cache)], check=True)


@as_root
def test_a_store_in_a_folder_that_takes_nothing(
    directory: Path, read_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """It is used; another is not made, and its model runs from memory."""
    from lapwing.weights.store import shelf

    with pytest.raises(OSError, match="Read-only"):
        (read_only / "stores" / "x").write_text("x")
    expected = logits(directory, store=False)
    for load in ("auto", "mapped", "lazy", "progressive", "eager"):
        assert np.array_equal(logits(directory, load=load), expected)
    with monkeypatch.context() as patch:
        patch.setattr(shelf, "boot_id", lambda: "another")
        assert np.array_equal(logits(directory, load="mapped"), expected)
    assert caplog.records == []
    other = write_gpt2(tmp_path / "other", seed=2, **SMALL)
    assert np.array_equal(logits(other), logits(other, store=False))
    assert_warned(caplog, read_only, "Read-only file system")


if __name__ == "__main__":
    {"load": step_load, "kills": step_kills}[sys.argv[1]](*sys.argv[2:])
