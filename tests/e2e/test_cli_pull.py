"""`lapwing pull` shows what it will fetch before it fetches any of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from chats import write_chat_model
from e2e import hub_server
from e2e.command import User
from e2e.hub_server import HubServer

from lapwing.units import format_bytes

NAMES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
PATIENCE_S = 60


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """Of a model that chats, in the order they are fetched in."""
    directory = write_chat_model(tmp_path / "files", n_embd=128)
    return {name: (directory / name).read_bytes() for name in NAMES}


@pytest.fixture
def hub(files: dict[str, bytes]) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add("birds/wren").commit(files)
        yield server


@pytest.fixture
def user(tmp_path: Path, hub: HubServer) -> User:
    env = {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    return User(tmp_path, env)


def test_sizes_are_shown_before_the_first_byte_is_asked_for(
    user: User, hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub holds every file back until the whole plan has been read."""
    read = threading.Event()
    in_time: list[bool] = []
    answer = hub_server._Handler._file

    def hold_back(
        self: hub_server._Handler, repo_id: str, revision: str, name: str, token: str | None
    ) -> None:
        if self.command == "GET":
            in_time.append(read.wait(PATIENCE_S))
        answer(self, repo_id, revision, name, token)

    monkeypatch.setattr(hub_server._Handler, "_file", hold_back)
    with user.starts("pull", "birds/wren") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().decode() for _ in range(len(files) + 3)]
        read.set()
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert in_time == [True] * len(files)
    sizes = {name: format_bytes(len(data)) for name, data in files.items()}
    assert [re.split(r"\s{2,}", line.strip()) for line in lines[1:5]] == [*map(list, sizes.items())]
    total = re.escape(format_bytes(sum(map(len, files.values()))))
    assert re.fullmatch(rf"birds/wren@main \(\w{{12}}\): {total}, {total} to fetch\n", lines[5])
    free = re.fullmatch(r"[\d.]+ [KMGT]iB free on the disk of (.+)\n", lines[6])
    assert free
    assert free[1].startswith(str(user.home))


def test_what_was_fetched_chats(user: User, files: dict[str, bytes]) -> None:
    assert user.types("pull", "birds/wren").code == 0
    done = user.types("run", "birds/wren", "--chat", "Hello", "-n", "2", "--json").json
    assert len(done["tokens"]) == 2
    again = user.types("pull", "birds/wren").out
    assert "all of it here" in again
    assert "free on the disk" not in again
