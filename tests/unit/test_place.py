"""A folder inside one file, asked as a Path is."""

from __future__ import annotations

from pathlib import Path

import pytest

from lapwing.place import StoredPath, as_place

FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"[1]",
    "2_Dense/config.json": b"dense",
    "additional_chat_templates/tools.jinja": b"tools",
}
CARRIER = Path("/models/m.safetensors")


@pytest.fixture
def root() -> StoredPath:
    return StoredPath(CARRIER, {name: lambda data=data: data for name, data in FILES.items()})


def test_it_has_what_a_directory_of_the_same_files_has(root: StoredPath, tmp_path: Path) -> None:
    """pathlib says what is expected."""
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    for name in ("", "config.json", "2_Dense", "2_Dense/config.json", "2_Den", "none", "none/x"):
        ours, theirs = (root / name, tmp_path / name) if name else (root, tmp_path)
        assert ours.is_file() == theirs.is_file(), name
        assert ours.is_dir() == theirs.is_dir(), name
        assert ours.exists() == theirs.exists(), name
        if theirs.is_file():
            assert ours.read_bytes() == theirs.read_bytes()
            assert ours.stat().st_size == theirs.stat().st_size
    for folder in ("", "2_Dense", "additional_chat_templates", "none"):
        for pattern in ("*.json", "*.jinja", "c*", "*.JSON"):
            ours = (root / folder if folder else root).glob(pattern)
            found = sorted(path.name for path in (tmp_path / folder).glob(pattern))
            assert [path.name for path in ours] == found, (folder, pattern)


def test_steps_lead_to_the_same_place(root: StoredPath) -> None:
    once = root / "2_Dense/config.json"
    assert once == root / "2_Dense" / "config.json"
    assert hash(once) == hash(root / "2_Dense" / "config.json")
    assert once != root / "config.json"
    assert once != Path(str(once))
    (found,) = (root / "2_Dense").glob("*.json")
    assert found == once
    assert found.read_bytes() == b"dense"


def test_names(root: StoredPath) -> None:
    assert str(root) == "/models/m.safetensors"
    assert str(root / "2_Dense" / "config.json") == "/models/m.safetensors!/2_Dense/config.json"
    assert (root.name, root.stem) == ("m.safetensors", "m")
    config = root / "2_Dense/config.json"
    assert (config.name, config.stem) == ("config.json", "config")


@pytest.mark.parametrize("name", ["none.json", "2_Dense", ""])
def test_what_is_not_there_cannot_be_read(root: StoredPath, name: str) -> None:
    path = root / name if name else root
    for ask in (path.read_bytes, path.stat):
        with pytest.raises(FileNotFoundError) as caught:
            ask()
        assert str(caught.value) == str(path)


def test_files_are_read_when_they_are_asked_for() -> None:
    asked: list[str] = []

    def reader() -> bytes:
        asked.append("config.json")
        return b"{}"

    root = StoredPath(CARRIER, {"config.json": reader})
    assert (root / "config.json").exists()
    assert [path.name for path in root.glob("*")] == ["config.json"]
    assert asked == []
    (root / "config.json").read_bytes()
    assert asked == ["config.json"]


def test_a_place_is_made_of_whatever_names_one(root: StoredPath) -> None:
    assert as_place(root) is root
    assert as_place("/a/b") == Path("/a/b")
    assert as_place(Path("/a/b")) == Path("/a/b")
