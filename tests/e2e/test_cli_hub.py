"""`pull`, `ls` and `rm` against a hub on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.command import User
from e2e.hub_server import HubServer

from lapwing.models.registry import FAMILIES
from lapwing.weights.hub import bundled_models

FILES = {
    name: (bundled_models()["tales"] / name).read_bytes()
    for name in ("config.json", "tokenizer.json", "model.safetensors")
}
FOREIGN = {**FILES, "config.json": json.dumps({"model_type": "mamba"}).encode()}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add("birds/wren").commit(FILES)
        server.add("birds/emu").commit(FOREIGN)
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


def test_pull_shows_the_files_then_fetches_them(user: User, hub: HubServer) -> None:
    commit = hub.repositories["birds/wren"].refs["main"]
    done = user.types("pull", "birds/wren")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == list(FILES)
    assert lines[4] == f"birds/wren@main ({commit[:12]}): 7.4 MiB, 7.4 MiB to fetch"
    assert f"birds/wren is in {user.home}" in done.err
    again = user.types("pull", "birds/wren")
    assert again.out.count("here") == 4
    assert "all of it here" in again.out
    run = user.types("run", "birds/wren", "Once", "-n", "3", "--json").json
    assert len(run["tokens"]) == 3


def test_pull_json(user: User) -> None:
    done = user.types("pull", "birds/wren@main", "--json").json
    assert done["model"] == "birds/wren"
    assert done["fetched_bytes"] == done["total_bytes"] == sum(map(len, FILES.values()))
    assert (Path(done["directory"]) / "config.json").is_file()
    assert user.types("pull", "birds/wren", "--json").json["fetched_bytes"] == 0


def test_pull_of_a_family_that_does_not_run_says_so(user: User) -> None:
    done = user.types("pull", "birds/emu")
    assert done.code == 0
    assert f"warning: this version runs {', '.join(FAMILIES)}, not 'mamba'" in done.err


def test_pull_of_nothing(user: User) -> None:
    done = user.types("pull", "birds/dodo")
    assert done.code == 4
    assert done.err.startswith("error: birds/dodo")
    assert "Traceback" not in done.err


def test_ls_lists_bundled_and_cached(user: User) -> None:
    assert [row["name"] for row in user.types("ls", "--json").json] == ["tales"]
    for name in ("birds/wren", "birds/emu"):
        user.types("pull", name)
    rows = {row["name"]: row for row in user.types("ls", "--json").json}
    assert {name: (row["model_type"], row["runs"]) for name, row in rows.items()} == {
        "tales": ("gpt2", True),
        "birds/emu": ("mamba", False),
        "birds/wren": ("gpt2", True),
    }
    assert rows["birds/wren"]["revision"] == "main"
    assert rows["birds/wren"]["size_bytes"] >= sum(map(len, FILES.values()))
    table = user.types("ls").out
    assert "birds/wren  main" in table
    assert "no" in next(line for line in table.splitlines() if "emu" in line)


def test_rm_frees_what_pull_fetched(user: User) -> None:
    user.types("pull", "birds/wren")
    unasked = user.types("rm", "birds/wren")
    assert unasked.code == 2
    assert "pass --yes" in unasked.err
    done = user.types("rm", "birds/wren", "--yes", "--json").json
    assert done["freed_bytes"] >= sum(map(len, FILES.values()))
    assert [row["name"] for row in user.types("ls", "--json").json] == ["tales"]
    absent = user.types("rm", "birds/wren", "--yes")
    assert absent.code == 4
    assert "not in the cache" in absent.err


def test_rm_asks_on_a_terminal(user: User) -> None:
    user.types("pull", "birds/wren")
    shown, code = user.types_on_terminal("rm", "birds/wren", answer="n\n")
    assert code == 0
    assert "Delete birds/wren?" in shown
    assert "nothing was deleted" in shown
    shown, code = user.types_on_terminal("rm", "birds/wren", answer="y\n")
    assert code == 0
    assert "birds/wren: freed 7.4 MiB" in shown
