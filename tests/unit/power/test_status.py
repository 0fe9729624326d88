"""What processes tell monitors: it arrives, and nothing else is believed."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from lapwing.power.pacing import status as status_module
from lapwing.power.pacing.status import MAX_BYTES, Board, Status, published, safe_folder

NOW_S = 1_000_000.0
STATUS = Status(
    pid=os.getpid(),
    time_s=NOW_S,
    model="tales",
    mode="balanced",
    duty=0.7,
    precision="int8",
    threads=2,
    tokens_per_s=41.5,
    reasons=("88 °C", "power 70 %"),
)
FREE = Status(os.getpid(), NOW_S, None, "observe", 1.0, None, None, None, ())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "board"
    made.mkdir(mode=0o700)
    return made


def told(folder: Path, **kwargs: Any) -> list[Status]:
    return published(folder, now_s=NOW_S, **kwargs)


def write(folder: Path, text: str | bytes, name: str = f"{os.getpid()}-0.json") -> None:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def test_round_trip(folder: Path) -> None:
    first, second = Board(folder), Board(folder)
    first.publish(STATUS)
    second.publish(FREE)
    assert told(folder) == [STATUS, FREE]
    first.publish(replace(STATUS, duty=0.3))
    assert told(folder) == [replace(STATUS, duty=0.3), FREE]
    first.withdraw()
    assert told(folder) == [FREE]
    first.withdraw()
    second.withdraw()
    assert list(folder.iterdir()) == []


def test_the_folder_is_made_for_its_user_alone(tmp_path: Path) -> None:
    board = Board(tmp_path / "new")
    board.publish(STATUS)
    assert told(tmp_path / "new") == [STATUS]
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    (file,) = (tmp_path / "new").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_folder_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    board = Board()
    board.publish(replace(STATUS, time_s=time.time()))
    assert len(published()) == 1
    assert (tmp_path / "lapwing").is_dir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    temporary = tmp_path / "temporary" / f"lapwing-{os.getuid()}"
    temporary.mkdir(parents=True, mode=0o700)
    for runtime in ("", "relative", str(tmp_path / "nowhere")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        assert safe_folder() == temporary


@pytest.mark.parametrize("kind", ["link", "open to others", "file", "not there"])
def test_foreign_folders_are_not_used(tmp_path: Path, kind: str) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    board = Board(folder if kind != "not there" else folder / "below")
    if kind == "link":
        folder.symlink_to(elsewhere)
    elif kind == "open to others":
        folder.mkdir()
        folder.chmod(0o777)
    elif kind == "file":
        folder.write_text("")
    board.publish(STATUS)
    assert published(folder, now_s=NOW_S) == []
    assert not any(path.suffix in (".json", ".new") for path in tmp_path.rglob("*"))
    board.withdraw()


def test_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(folder)
    board.publish(STATUS)
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert told(folder) == []
    monkeypatch.setattr(status_module, "_is_ours", lambda folder: True)
    assert told(folder) == [], "the file is another's"


@pytest.mark.parametrize("age_s", [-6.0, 6.0])
def test_stale(folder: Path, age_s: float) -> None:
    board = Board(folder)
    board.publish(replace(STATUS, time_s=NOW_S - age_s))
    assert told(folder) == []
    assert len(told(folder, max_age_s=7.0)) == 1


def test_a_process_that_is_gone(folder: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    text = json.dumps(asdict(replace(STATUS, pid=gone.pid)))
    write(folder, text, f"{gone.pid}-0.json")
    write(folder, "", f"{gone.pid}-1.new")
    write(folder, "", "notes.txt")
    assert told(folder) == []
    board = Board(folder)
    board.publish(STATUS)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 2, "what it left is swept away, and nothing else"
    assert "notes.txt" in names
    assert told(folder) == [STATUS]


def test_a_board_that_is_dropped(folder: Path) -> None:
    board = Board(folder)
    board.publish(STATUS)
    del board
    gc.collect()
    assert list(folder.iterdir()) == []


def test_a_process_takes_its_own_down_when_it_ends(folder: Path) -> None:
    program = (
        "import os, sys; from lapwing.power.pacing.status import *\n"
        "board = Board(sys.argv[1])\n"
        "board.publish(Status(os.getpid(), 1.0, None, 'observe', 1.0, None, None, None, ()))\n"
        "if os.fork() == 0: sys.exit()\n"
        "os.wait(); print(len(os.listdir(sys.argv[1])))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=60
    )
    assert run.stdout == "1\n", "a child that was forked leaves it there"
    assert list(folder.iterdir()) == []


HOSTILE: dict[str, Any] = {
    "half": json.dumps(asdict(STATUS))[:60],
    "empty": "",
    "not UTF-8": b"\xff\xfe\x00",
    "another type": "[]",
    "deep": "[" * 30_000,
    "large": json.dumps({**asdict(STATUS), "model": "m" * MAX_BYTES}),
    "a strange field": json.dumps({**asdict(STATUS), "owner": "me"}),
    "a field less": json.dumps({k: v for k, v in asdict(STATUS).items() if k != "duty"}),
    "NaN": json.dumps({**asdict(STATUS), "duty": math.nan}),
    "infinite": json.dumps(asdict(STATUS)).replace("41.5", "1e999"),
    "a huge integer": json.dumps({**asdict(STATUS), "duty": 10**400}),
    "digits without end": json.dumps(asdict(STATUS)).replace("41.5", "1" * 6000),
    "a bool for a number": json.dumps({**asdict(STATUS), "duty": True}),
    "a float for a count": json.dumps({**asdict(STATUS), "threads": 2.0}),
    "a word for a number": json.dumps({**asdict(STATUS), "time_s": "now"}),
    "reasons that are a word": json.dumps({**asdict(STATUS), "reasons": "88 °C"}),
    "numbers for reasons": json.dumps({**asdict(STATUS), "reasons": [1]}),
    "out of range": json.dumps({**asdict(STATUS), "duty": 1.5}),
    "negative": json.dumps({**asdict(STATUS), "tokens_per_s": -1.0}),
    "another process": json.dumps({**asdict(STATUS), "pid": os.getppid()}),
    "all processes": json.dumps({**asdict(STATUS), "pid": -1}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(folder: Path, name: str) -> None:
    write(folder, HOSTILE[name])
    assert told(folder) == []
    write(folder, json.dumps(asdict(STATUS)), f"{os.getpid()}-1.json")
    assert told(folder) == [STATUS], "the others are read all the same"


@pytest.mark.parametrize("name", ["0-0.json", "1.json", "x-0.json", "99999999999-0.json", "1-0"])
def test_other_names(folder: Path, name: str) -> None:
    write(folder, json.dumps(asdict(STATUS)), name)
    assert told(folder) == []


def test_what_is_no_file(folder: Path, tmp_path: Path) -> None:
    name = f"{os.getpid()}-{{}}.json"
    os.mkfifo(folder / name.format(0))
    (folder / name.format(1)).mkdir()
    (tmp_path / "real").write_text(json.dumps(asdict(STATUS)))
    (folder / name.format(2)).symlink_to(tmp_path / "real")
    assert told(folder) == []


def test_a_planted_link_is_not_written_through(folder: Path, tmp_path: Path) -> None:
    board = Board(folder)
    board.publish(STATUS)
    (hung,) = folder.iterdir()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    hung.with_suffix(".new").symlink_to(precious)
    board.publish(replace(STATUS, duty=0.5))
    assert precious.read_text() == "mine"


@pytest.mark.parametrize(
    "status",
    [
        replace(STATUS, duty=math.nan),
        replace(STATUS, model="m" * MAX_BYTES),
        replace(STATUS, reasons=({1},)),  # type: ignore[arg-type]
        None,
    ],
)
def test_publish_never_raises(folder: Path, status: Any) -> None:
    board = Board(folder)
    board.publish(status)
    assert told(folder) == []


def test_publish_is_quick(folder: Path) -> None:
    board = Board(folder)
    board.publish(STATUS)
    best_s = math.inf
    for _ in range(200):
        began_s = time.perf_counter()
        board.publish(STATUS)
        best_s = min(best_s, time.perf_counter() - began_s)
    assert best_s < 1e-3
