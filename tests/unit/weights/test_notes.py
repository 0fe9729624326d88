"""Small files of what was found out: whole at any moment, whoever writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lapwing.weights import notes

WRITER = """
import sys
from lapwing.weights import notes
for i in range(200):
    assert notes.remember("notes.json", {sys.argv[1]: [i] * 500})
"""


def test_notes_are_added(cache: Path) -> None:
    assert notes.recall("notes.json") == {}
    assert notes.remember("notes.json", {"a": 1})
    assert notes.remember("notes.json", {"b": [2]})
    assert notes.recall("notes.json") == {"a": 1, "b": [2]}


def test_two_processes_write_at_once(cache: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name]) for name in "ab"]
    reads = 0
    while any(writer.poll() is None for writer in writers):
        if (cache / "notes.json").exists():
            found = json.loads((cache / "notes.json").read_text())
            assert all(len(set(note)) == 1 and len(note) == 500 for note in found.values())
            reads += 1
    assert [writer.returncode for writer in writers] == [0, 0]
    assert reads > 0
    assert 199 in {note[0] for note in notes.recall("notes.json").values()}
    assert [path.name for path in cache.iterdir()] == ["notes.json"]


def test_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "cache_folder", lambda: None)
    assert notes.recall("notes.json") == {}
    assert not notes.remember("notes.json", {})
