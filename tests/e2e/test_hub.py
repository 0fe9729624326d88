"""Models from a hub that misbehaves on request; each look-up in a process of its own.

The hub's library reads its settings when it is imported and keeps its connections: only a fresh
process meets it as a user does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.hub_server import GOOD_TOKEN, POOR_TOKEN, HubServer

from lapwing.weights.files import SMALL_FILES
from lapwing.weights.hub import bundled_models

TALES = bundled_models()["tales"]
SMALL = {name: (TALES / name).read_bytes() for name in ("config.json", "tokenizer.json")}
PICKLES = {"pytorch_model.bin": b"cos\nsystem\n", "rust_model.ot": b"x", "tf_model.h5": b"x"}


def weights_file(seed: int = 0, n_bytes: int = 300_000) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [n_bytes], "data_offsets": [0, n_bytes]}})
    data = np.random.default_rng(seed).integers(0, 256, n_bytes, np.uint8).tobytes()
    return len(header).to_bytes(8, "little") + header.encode() + data


@dataclass
class Outcome:
    """What one process said: `value`, or the `error` it raised as (class, text)."""

    value: Any
    error: tuple[str, str]
    log: str


@dataclass
class User:
    """Someone with a cache of their own who asks one question per process."""

    home: Path
    endpoint: str

    def ask(self, expression: str, **env: str) -> Outcome:
        code = (
            "import json, logging, sys\n"
            "logging.basicConfig(level='WARNING')\n"
            "from dataclasses import asdict\n"
            "from lapwing.weights import cache, hub\n"
            "try:\n"
            f"    print(json.dumps({{'value': {expression}}}, default=str))\n"
            "except Exception as error:\n"
            "    print(json.dumps({'error': [type(error).__name__, str(error)]}))\n"
        )
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        settings = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }
        result = subprocess.run(
            [sys.executable, "-c", code],
            env=inherited | settings | env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr
        answer = json.loads(result.stdout)
        return Outcome(answer.get("value"), tuple(answer.get("error", ("", ""))), result.stderr)

    def locate(self, name: str, arguments: str = "", **env: str) -> Outcome:
        return self.ask(f"str(hub.locate({name!r}, {arguments}))", **env)

    def fails(self, name: str, arguments: str = "", **env: str) -> str:
        """The text of the one error that a missing model gives."""
        outcome = self.locate(name, arguments, **env)
        assert outcome.error[0] == "ModelNotFoundError", outcome
        return outcome.error[1]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def user(hub: HubServer, tmp_path: Path) -> User:
    return User(tmp_path, hub.url)


def contents(directory: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def test_a_download_fetches_what_is_read_and_nothing_else(hub: HubServer, user: User) -> None:
    files = {**SMALL, "model.safetensors": weights_file()}
    others = {"README.md": b"# x", "onnx/model.onnx": b"x", "original/a.safetensors": b"x"}
    hub.add("org/model").commit({**files, **PICKLES, **others})
    outcome = user.locate("org/model")
    assert contents(outcome.value) == files
    assert hub.fetched() == ["config.json", "tokenizer.json", "model.safetensors"]
    assert str(user.home) in outcome.value


def test_the_modules_of_sentence_transformers_come_along(hub: HubServer, user: User) -> None:
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        {"type": "sentence_transformers.models.Dense", "path": "2_Dense"},
    ]
    files = {
        **SMALL,
        "modules.json": json.dumps(modules).encode(),
        "sentence_bert_config.json": b"{}",
        "1_Pooling/config.json": b'{"pooling_mode": "cls"}',
        "2_Dense/config.json": b'{"in_features": 4, "out_features": 2}',
        "2_Dense/model.safetensors": weights_file(seed=1),
        "model.safetensors": weights_file(),
    }
    others = {"onnx/model.safetensors": b"x", "2_Dense/pytorch_model.bin": b"x"}
    hub.add("org/model").commit({**files, **others})
    found = Path(user.locate("org/model").value)
    got = {str(p.relative_to(found)): p.read_bytes() for p in found.rglob("*") if p.is_file()}
    assert got == files
    hub.requests.clear()
    assert user.locate("org/model").value == str(found)
    assert hub.requests == []
    (found / "1_Pooling/config.json").unlink()  # fetched by a program that does not know modules
    assert user.locate("org/model").value == str(found)
    assert (found / "1_Pooling/config.json").exists()


def test_a_cached_model_is_found_without_a_request(hub: HubServer, user: User) -> None:
    hub.add("org/model").commit({**SMALL, "model.safetensors": weights_file()})
    first = user.locate("org/model")
    hub.requests.clear()
    assert user.locate("org/model").value == first.value
    assert user.locate("org/model", HF_HUB_OFFLINE="1").value == first.value
    assert hub.requests == []


def test_a_legacy_name_has_no_organisation(hub: HubServer, user: User) -> None:
    hub.add("gpt2").commit({**SMALL, "model.safetensors": weights_file()})
    assert "models--gpt2" in user.locate("gpt2").value


def test_a_dropped_connection_is_resumed_where_it_broke(hub: HubServer, user: User) -> None:
    """The hub's library writes pieces of 10 MiB: what came after the last of them comes again."""
    weights = weights_file(n_bytes=14_000_000)
    hub.add("org/model").commit({**SMALL, "model.safetensors": weights})
    hub.cut_after["model.safetensors"] = cut = 12_000_000
    outcome = user.locate("org/model")
    gets = [r for r in hub.requests if r.method == "GET" and r.path.endswith(".safetensors")]
    first, second = (request.range for request in gets)
    assert first is None
    assert second is not None
    begin = int(second.removeprefix("bytes=").removesuffix("-"))
    assert cut // 2 < begin <= cut
    assert contents(outcome.value)["model.safetensors"] == weights


def test_a_second_try_fetches_only_the_files_still_missing(hub: HubServer, user: User) -> None:
    """Between processes the hub's library keeps whole files, not parts of one."""
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}).encode()
    files = {**SMALL, "model.safetensors.index.json": index, shards[0]: weights_file(1)}
    repository = hub.add("org/model")
    commit = repository.commit({**files, shards[1]: b"broken"})
    broken = user.ask(
        "hub.download(hub.DownloadPlan('org/model', 'main', "
        f"{commit!r}, tuple(hub.RemoteFile(n, 1, False) for n in {[*files, 'absent']!r})))"
    )
    assert broken.error[0] == "ModelNotFoundError"
    assert "a listed file is gone from the hub" in broken.error[1]
    repository.commits[commit][shards[1]] = weights_file(2)
    hub.requests.clear()
    outcome = user.locate("org/model")
    assert hub.fetched() == [shards[1]]
    assert contents(outcome.value) == {**files, shards[1]: weights_file(2)}


def test_a_branch_a_tag_and_a_commit(hub: HubServer, user: User) -> None:
    repository = hub.add("org/model")
    old = repository.commit({**SMALL, "model.safetensors": weights_file(1)}, ref="v1")
    repository.commit({**SMALL, "model.safetensors": weights_file(2), "vocab.txt": b"x"})
    by_tag = user.locate("org/model@v1").value
    assert contents(by_tag)["model.safetensors"] == weights_file(1)
    assert user.locate("org/model", f"revision={old!r}").value == by_tag
    assert user.locate(f"org/model@{old}").value == by_tag
    main = user.locate("org/model").value
    assert contents(main)["model.safetensors"] == weights_file(2)
    assert user.locate("org/model@v1", HF_HUB_OFFLINE="1").value == by_tag


def test_a_newer_commit_is_fetched_when_asked_for(hub: HubServer, user: User) -> None:
    repository = hub.add("org/model")
    repository.commit({**SMALL, "model.safetensors": weights_file(1)})
    old = user.locate("org/model").value
    repository.commit({**SMALL, "model.safetensors": weights_file(2), "vocab.txt": b"x"})
    assert user.locate("org/model").value == old
    new = user.locate("org/model", "refresh=True").value
    assert contents(new)["model.safetensors"] == weights_file(2)
    assert user.locate("org/model").value == new


def test_an_unknown_model(hub: HubServer, user: User) -> None:
    text = user.fails("org/nothing")
    assert f"org/nothing: no such model at {hub.url}, or it is private" in text
    assert "nor is there a directory of that name here" in text
    assert "HF_TOKEN" in text


def test_an_unknown_revision(hub: HubServer, user: User) -> None:
    hub.add("org/model").commit(SMALL)
    assert "org/model: the hub has no revision 'v9' of it" in user.fails("org/model@v9")


def test_a_gated_model(hub: HubServer, user: User) -> None:
    hub.add("org/gated", gated=True).commit({**SMALL, "model.safetensors": weights_file()})
    text = user.fails("org/gated")
    assert "org/gated: the model is gated (401)" in text
    assert f"Accept its terms at {hub.url}/org/gated, then set HF_TOKEN" in text
    text = user.fails("org/gated", HF_TOKEN=POOR_TOKEN)
    assert "your token has no access to it (403)" in text
    outcome = user.locate("org/gated", HF_TOKEN=GOOD_TOKEN)
    assert contents(outcome.value)["model.safetensors"] == weights_file()
    assert GOOD_TOKEN not in outcome.log


def test_a_token_that_the_hub_does_not_know(hub: HubServer, user: User) -> None:
    hub.add("org/model").commit({**SMALL, "model.safetensors": weights_file()})
    text = user.fails("org/model", HF_TOKEN="hf_nonsense")
    assert "does not accept the token (401)" in text
    assert "hf_nonsense" not in text


def test_offline_and_not_cached(hub: HubServer, user: User) -> None:
    text = user.fails("org/model@v1", HF_HUB_OFFLINE="1")
    assert "org/model@v1: not in the cache" in text
    assert "HF_HUB_OFFLINE forbids the network" in text
    assert hub.requests == []


def test_nobody_listens(hub: HubServer, user: User) -> None:
    text = user.fails("org/model", HF_ENDPOINT="http://127.0.0.1:9")
    assert "org/model: http://127.0.0.1:9 could not be reached" in text
    assert "HF_ENDPOINT" in text


@pytest.mark.parametrize(
    ("status", "expected"),
    [(500, "is out of order (500)"), (429, "too many requests"), (403, "forbids access (403)")],
)
def test_a_hub_in_trouble(hub: HubServer, user: User, status: int, expected: str) -> None:
    hub.status = status
    assert expected in user.fails("org/model")


def test_a_repository_of_pickles_only(hub: HubServer, user: User) -> None:
    hub.add("org/old").commit({**SMALL, **PICKLES}, ref="v1")
    text = user.fails("org/old@v1")
    assert "org/old: the weights are only in pytorch_model.bin, rust_model.ot, tf_model.h5" in text
    assert "M.from_pretrained('org/old', revision='v1').save_pretrained('converted'" in text
    assert hub.fetched() == []


def test_an_incomplete_cached_model_is_used_when_the_hub_is_away(
    hub: HubServer, user: User
) -> None:
    """Without a tokenizer it is asked for each time, and is still there without the hub."""
    files = {"config.json": SMALL["config.json"], "model.safetensors": weights_file()}
    hub.add("org/model").commit(files)
    first = user.locate("org/model").value
    outcome = user.locate("org/model", HF_HUB_OFFLINE="1")
    assert outcome.value == first
    assert "using the cached copy as it is" in outcome.log


def test_the_size_is_known_before_a_byte_moves(hub: HubServer, user: User) -> None:
    files = {**SMALL, "model.safetensors": weights_file()}
    commit = hub.add("org/model").commit({**files, **PICKLES})
    question = (
        "(lambda p: [asdict(p), p.total_bytes, p.remaining_bytes])(hub.plan_download('org/model'))"
    )
    plan, total, remaining = user.ask(question).value
    assert plan["commit"] == commit
    assert {f["name"]: f["size_bytes"] for f in plan["files"]} == {
        n: len(d) for n, d in files.items()
    }
    assert total == remaining == sum(map(len, files.values()))
    assert hub.fetched() == []
    user.locate("org/model")
    assert user.ask(question).value[2] == 0


def test_no_room_for_the_download(hub: HubServer, user: User) -> None:
    hub.add("org/model").commit({**SMALL, "model.safetensors": weights_file()})
    outcome = user.ask(
        "[setattr(hub.shutil, 'disk_usage', lambda p: type('U', (), {'free': 1000})), "
        "hub.locate('org/model')]"
    )
    assert outcome.error[0] == "ModelNotFoundError"
    assert re.search(r"org/model: the download needs [\d.]+ KiB", outcome.error[1])
    assert "1000 B free. Make room, or set HF_HOME" in outcome.error[1]


def test_progress_bars_are_shown_or_not(hub: HubServer, user: User) -> None:
    hub.add("org/model").commit({**SMALL, "model.safetensors": weights_file()})
    silent = user.locate("org/model", "progress=False")
    assert "model.safetensors" not in silent.log
    user.ask("cache.delete_cached('org/model')")
    assert "model.safetensors: 100%" in user.locate("org/model", TQDM_POSITION="-1").log


def test_the_cache_is_listed_and_emptied(hub: HubServer, user: User) -> None:
    assert user.ask("cache.cached_models()").value == []
    repository = hub.add("org/model")
    old = repository.commit({**SMALL, "model.safetensors": weights_file(1)}, ref="v1")
    new = repository.commit({**SMALL, "model.safetensors": weights_file(2), "vocab.txt": b"xy"})
    user.locate("org/model@v1")
    user.locate("org/model")

    (model,) = user.ask("[asdict(m) for m in cache.cached_models()]").value
    assert (model["name"], model["model_type"]) == ("org/model", "gpt2")
    assert {(r["commit"], *r["refs"]) for r in model["revisions"]} == {(old, "v1"), (new, "main")}
    small, weights = sum(map(len, SMALL.values())), len(weights_file())
    assert model["size_bytes"] == small + 2 * weights + 2  # the small files are shared

    assert user.ask("cache.delete_cached('org/model', 'v1')").value == weights
    kind, text = user.ask("cache.delete_cached('org/model', 'v1')").error
    assert (kind, "revision 'v1' is not in the cache" in text) == ("ModelNotFoundError", True)
    assert user.ask("cache.delete_cached('org/model')").value == small + weights + 2
    kind, text = user.ask("cache.delete_cached('org/model')").error
    assert kind == "ModelNotFoundError"
    assert text == "org/model: not in the cache. Cached models: none."


def test_every_small_file_is_fetched_where_there_is_one(hub: HubServer, user: User) -> None:
    files = {name: SMALL.get(name, b"{}") for name in SMALL_FILES}
    files["model.safetensors"] = weights_file()
    hub.add("org/model").commit(files)
    assert contents(user.locate("org/model").value) == files
