"""Files that are damaged or lie: a short error that names them, and the interpreter lives on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.command import User
from tiny import random_ids, read_checkpoint, write_gpt2, write_safetensors

import lapwing
from lapwing import (
    ConfigError,
    LapwingError,
    ModelNotFoundError,
    TokenizerError,
    WeightsError,
)
from lapwing.weights.hub import bundled_models

WEIGHTS, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"
TENSOR = "transformer.h.1.mlp.c_fc.weight"
IDS = random_ids(1, 8, 128)


def model(directory: Path) -> Path:
    """A sound model with the bundled tokenizer."""
    made = write_gpt2(directory, seed=1, vocab_size=2048)
    shutil.copy(bundled_models()["tales"] / "tokenizer.json", made)
    return made


# Ways to damage one. Each changes a sound model's directory.


def header_of(directory: Path) -> tuple[dict[str, Any], bytes]:
    raw = (directory / WEIGHTS).read_bytes()
    begin = 8 + int.from_bytes(raw[:8], "little")
    return json.loads(raw[8:begin]), raw[begin:]


def change_header(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    header, data = header_of(directory)
    change(header)
    text = json.dumps(header).encode()
    (directory / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + data)


def change_config(directory: Path, **changes: Any) -> None:
    path = directory / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def truncated(directory: Path) -> None:
    os.truncate(directory / WEIGHTS, (directory / WEIGHTS).stat().st_size // 2)


def truncated_in_the_header(directory: Path) -> None:
    os.truncate(directory / WEIGHTS, 100)


def empty_file(directory: Path) -> None:
    (directory / WEIGHTS).write_bytes(b"")


def overlapping(directory: Path) -> None:
    def change(header: dict[str, Any]) -> None:
        begin, end = header["transformer.h.0.mlp.c_fc.weight"]["data_offsets"]
        header[TENSOR]["data_offsets"] = [begin + 4, end + 4]

    change_header(directory, change)


def ten_gigabyte_header(directory: Path) -> None:
    raw = (directory / WEIGHTS).read_bytes()
    (directory / WEIGHTS).write_bytes((10 * 10**9).to_bytes(8, "little") + raw[8:])


def shape_overflow(directory: Path) -> None:
    change_header(directory, lambda h: h[TENSOR].update(shape=[2**40, 2**40]))


def shape_that_wraps_to_its_size(directory: Path) -> None:
    """2⁶² · 4 bytes are 0 in 64 bits."""
    change_header(directory, lambda h: h[TENSOR].update(shape=[2**62], data_offsets=[0, 0]))


def negative_offset(directory: Path) -> None:
    change_header(directory, lambda h: h[TENSOR].update(data_offsets=[-65536, 0]))


def nan_weight(directory: Path) -> None:
    tensors = read_checkpoint(directory)
    tensors[TENSOR][3, 5] = np.nan
    write_safetensors(directory / WEIGHTS, tensors, "F32")


def wrong_vocabulary(directory: Path) -> None:
    change_config(directory, vocab_size=2050)


def wrong_dtype(directory: Path) -> None:
    change_header(directory, lambda h: h[TENSOR].update(dtype="I32"))


def unknown_dtype(directory: Path) -> None:
    change_header(directory, lambda h: h[TENSOR].update(dtype="Q4_0"))


def missing_tensor(directory: Path) -> None:
    change_header(directory, lambda h: h.pop(TENSOR))


def missing_config(directory: Path) -> None:
    (directory / CONFIG).unlink()


def bad_json(directory: Path) -> None:
    (directory / CONFIG).write_text('{"model_type": "gpt2", ')


def config_is_a_list(directory: Path) -> None:
    (directory / CONFIG).write_text("[1, 2]")


def deep_json(directory: Path) -> None:
    (directory / CONFIG).write_text('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}")


def binary_config(directory: Path) -> None:
    (directory / CONFIG).write_bytes(bytes(range(256)))


def absurd_layers(directory: Path) -> None:
    change_config(directory, n_layer=10**12)


def absurd_width(directory: Path) -> None:
    change_config(directory, n_embd=2**60, n_head=2**52)


def absurd_positions(directory: Path) -> None:
    change_config(directory, n_positions=10**300)


def absurd_epsilon(directory: Path) -> None:
    text = (directory / CONFIG).read_text()
    (directory / CONFIG).write_text(text.replace("1e-05", "1e999"))


def shard_index_of_itself(directory: Path) -> None:
    header, _ = header_of(directory)
    (directory / WEIGHTS).unlink()
    weight_map = {name: INDEX for name in header if name != "__metadata__"}
    (directory / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def links_in_a_circle(directory: Path) -> None:
    (directory / WEIGHTS).unlink()
    (directory / WEIGHTS).symlink_to(directory / "other")
    (directory / "other").symlink_to(directory / WEIGHTS)


def shard_index_that_leaves(directory: Path) -> None:
    (directory / WEIGHTS).rename(directory.parent / "outside.safetensors")
    (directory / INDEX).write_text(json.dumps({"weight_map": {TENSOR: "../outside.safetensors"}}))


def missing_shard(directory: Path) -> None:
    (directory / WEIGHTS).unlink()
    name = "model-00001-of-00002.safetensors"
    (directory / INDEX).write_text(json.dumps({"weight_map": {TENSOR: name}}))


def pickle_only(directory: Path) -> None:
    (directory / WEIGHTS).unlink()
    (directory / "pytorch_model.bin").write_bytes(b"\x80\x04.")


@dataclass(frozen=True)
class Case:
    """A way to be damaged; the words (files, tensors, numbers) that its error must hold."""

    damage: Callable[[Path], None]
    error: type[LapwingError]
    words: tuple[str, ...]


CASES = [
    Case(truncated, WeightsError, (WEIGHTS, "'transformer.", "ends at byte")),
    Case(truncated_in_the_header, WeightsError, (WEIGHTS, "the header claims", "92 follow")),
    Case(empty_file, WeightsError, (WEIGHTS, "0 bytes")),
    Case(overlapping, WeightsError, (WEIGHTS, TENSOR, "h.0.mlp.c_fc.weight", "overlap")),
    Case(ten_gigabyte_header, WeightsError, (WEIGHTS, "the header claims 10000000000 bytes")),
    Case(shape_overflow, WeightsError, (WEIGHTS, TENSOR, "1099511627776", "overflows")),
    Case(shape_that_wraps_to_its_size, WeightsError, (WEIGHTS, TENSOR, "overflows")),
    Case(negative_offset, WeightsError, (WEIGHTS, TENSOR, "-65536")),
    Case(nan_weight, WeightsError, (WEIGHTS, f"'{TENSOR}'[3, 5] is nan")),
    Case(wrong_vocabulary, WeightsError, ("wte.weight", "[2048, 64], expected [2050, 64]")),
    Case(wrong_dtype, WeightsError, (TENSOR, "is I32, expected one of F32, F16, BF16")),
    Case(unknown_dtype, WeightsError, (WEIGHTS, TENSOR, "Q4_0")),
    Case(missing_tensor, WeightsError, ("1 missing", TENSOR)),
    Case(missing_config, ConfigError, (CONFIG,)),
    Case(bad_json, ConfigError, (CONFIG, "not valid JSON")),
    Case(config_is_a_list, ConfigError, (CONFIG, "expected a JSON object")),
    Case(deep_json, ConfigError, (CONFIG, "nested too deeply")),
    Case(binary_config, ConfigError, (CONFIG, "UTF-8")),
    Case(absurd_layers, ConfigError, (CONFIG, "'n_layer'", "4096", "1000000000000")),
    Case(absurd_width, WeightsError, ("28 misshaped", "h.0.attn.c_attn.weight", str(2**60))),
    Case(absurd_positions, WeightsError, ("wpe.weight",)),
    Case(absurd_epsilon, ConfigError, (CONFIG, "'layer_norm_epsilon'", "finite")),
    Case(shard_index_of_itself, WeightsError, (INDEX,)),
    Case(links_in_a_circle, WeightsError, ("safetensors",)),
    Case(shard_index_that_leaves, WeightsError, (INDEX, "../outside.safetensors")),
    Case(missing_shard, WeightsError, ("model-00001-of-00002.safetensors",)),
    Case(pickle_only, ModelNotFoundError, ("pytorch_model.bin", "save_pretrained('converted')")),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.damage.__name__)


def assert_short(message: str, case: Case) -> None:
    for word in case.words:
        assert word in message
    assert len(message) < 1500
    assert len(message.splitlines()) <= 8


@every_case
def test_in_process(case: Case, tmp_path: Path) -> None:
    directory = model(tmp_path / "model")
    case.damage(directory)
    for dtype in ("int8", "f32"):
        with pytest.raises(case.error) as caught:
            lapwing.load(directory, dtype=dtype)
        assert_short(str(caught.value), case)
        assert caught.value.exit_code == 4
    # And the next model is none the wiser.
    with lapwing.load(model(tmp_path / "sound"), threads=1) as sound:
        assert np.isfinite(sound.forward(IDS)).all()


@pytest.fixture
def user(tmp_path: Path) -> User:
    home = tmp_path / "home"
    home.mkdir()
    return User(home)


@every_case
def test_command_line(case: Case, tmp_path: Path, user: User) -> None:
    directory = model(tmp_path / "model")
    case.damage(directory)
    done = user.types("run", str(directory), "Once", "-n", "2")
    assert done.code == 4, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    # Lines are wrapped for the reader; words of a path may be cut where it is.
    assert_short(" ".join(done.err.split()), Case(case.damage, case.error, ()))
    packed = "".join(done.err.split())
    for word in case.words:
        assert "".join(word.split()) in packed


def test_debug_shows_where(tmp_path: Path, user: User) -> None:
    directory = model(tmp_path / "model")
    truncated(directory)
    done = user.types("run", str(directory), "Once", "--debug")
    assert done.code == 4
    assert "Traceback" in done.err


def test_show_of_damaged_headers(tmp_path: Path, user: User) -> None:
    for damage in (truncated, overlapping, wrong_vocabulary, bad_json, shard_index_of_itself):
        directory = model(tmp_path / damage.__name__)
        damage(directory)
        done = user.types("show", str(directory))
        assert (done.code, done.out) == (4, ""), damage
        assert "Traceback" not in done.err
        assert len(done.err) < 1500


TOKENIZERS = {
    "empty": b"",
    "not json": b"{",
    "a list": b"[]",
    "not a tokenizer": b'{"version": "1.0"}',
    "binary": bytes(range(256)) * 10,
    "foreign model": b'{"version":"1.0","model":{"type":"Nonsense","vocab":{}}}',
    "merges of unknown tokens": b'{"version":"1.0","model":{"type":"BPE","vocab":{"a":0},'
    b'"merges":[["x","y"]]}}',
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_damaged_tokenizers(kind: str, tmp_path: Path) -> None:
    """Only text fails."""
    directory = model(tmp_path / "model")
    (directory / "tokenizer.json").write_bytes(TOKENIZERS[kind])
    with lapwing.load(directory, dtype="int4", threads=1) as loaded:
        assert np.isfinite(loaded.forward(IDS)).all()
        assert len(loaded.generate(IDS, max_tokens=3, ignore_eos=True).tokens) == 3
        for call in (lambda: loaded.generate("Once"), lambda: loaded.tokenizer):
            with pytest.raises(TokenizerError, match=r"tokenizer\.json") as caught:
                call()
            assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("kind", ["not json", "merges of unknown tokens"])
def test_damaged_tokenizers_on_the_command_line(kind: str, tmp_path: Path, user: User) -> None:
    directory = model(tmp_path / "model")
    (directory / "tokenizer.json").write_bytes(TOKENIZERS[kind])
    done = user.types("run", str(directory), "Once", "-n", "2")
    assert (done.code, done.out) == (4, "")
    assert "tokenizer.json" in "".join(done.err.split())
    assert "Traceback" not in done.err


def test_a_tokenizer_that_knows_more_than_the_model(tmp_path: Path) -> None:
    """Ids beyond the embedding must never reach it."""
    directory = write_gpt2(tmp_path / "model", seed=1, vocab_size=300)
    shutil.copy(bundled_models()["tales"] / "tokenizer.json", directory)
    with (
        lapwing.load(directory) as loaded,
        pytest.raises(lapwing.RequestError, match=r"is outside the vocabulary \[0, 300\)"),
    ):
        loaded.generate("Once upon a time")


def test_a_file_that_shrinks_while_it_is_loaded(tmp_path: Path) -> None:
    """Refused or, where the mapping outlives its pages, the end of that process alone."""
    directory = model(tmp_path / "model")
    script = (
        "import os, sys, lapwing\n"
        "path = sys.argv[1] + '/model.safetensors'\n"
        "size = os.path.getsize(path)\n"
        "def progress(done, total): os.truncate(path, size // 4)\n"
        "try: lapwing.load(sys.argv[1], dtype='int8', on_progress=progress)\n"
        "except lapwing.LapwingError as error: print(type(error).__name__); sys.exit(4)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(directory)],
        env=User(tmp_path / "home").environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (4, -7)  # a message, or SIGBUS as the system has it


def test_killed_at_any_moment(tmp_path: Path, user: User) -> None:
    """What a killed run leaves behind does not stand in the way of the next."""
    directory = model(tmp_path / "model")
    command = [sys.executable, "-m", "lapwing", "run", str(directory), "Once", "-n", "50"]
    files = sorted(path.name for path in directory.iterdir())
    want = user.types("run", str(directory), "Once", "-n", "5")
    assert want.code == 0, want.err
    for delay_s in (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7):
        process = subprocess.Popen(
            command,
            env=user.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay_s)
        process.kill()
        process.wait()
    again = user.types("run", str(directory), "Once", "-n", "5")
    assert (again.code, again.out) == (0, want.out)
    assert sorted(path.name for path in directory.iterdir()) == files
