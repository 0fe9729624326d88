"""Tiny random GPT-2s of many shapes give the logits and tokens that transformers gave."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from agreement import assert_greedy, assert_logits, rms_relative_error
from oracle import pad
from tiny import SHAPES, write_gpt2
from tolerances import FLOAT_LOGITS, QUANTIZED_LOGITS

if TYPE_CHECKING:
    from golden.conftest import Golden

STORED = {"F32": "f32", "F16": "f16", "BF16": "bf16"}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpt2_tiny")


@pytest.fixture(params=SHAPES)
def name(request: pytest.FixtureRequest) -> str:
    shape: str = request.param
    return shape


@pytest.fixture
def directory(name: str, checkpoints: Path, gpt2_tiny: Golden) -> Path:
    path = checkpoints / name
    if not path.exists():
        write_gpt2(path, seed=gpt2_tiny.facts["variants"][name]["seed"], **SHAPES[name])
    return path


def sequences(golden: Golden, name: str) -> list[dict[str, Any]]:
    """`ids`, `logits`, `tokens` and `margins` of every sequence of one shape."""
    return [
        {key: golden.arrays[f"{name}.{i}.{key}"] for key in ("ids", "logits", "tokens", "margins")}
        for i in range(golden.facts["variants"][name]["sequences"])
    ]


def test_the_checkpoint_is_the_goldens_byte_for_byte(
    name: str, directory: Path, gpt2_tiny: Golden
) -> None:
    for file, sha256 in gpt2_tiny.facts["variants"][name]["sha256"].items():
        assert hashlib.sha256((directory / file).read_bytes()).hexdigest() == sha256, file


def test_f32_logits(name: str, directory: Path, gpt2_tiny: Golden, backend: str) -> None:
    import lapwing

    with lapwing.load(str(directory), dtype="f32") as model:
        for i, golden in enumerate(sequences(gpt2_tiny, name)):
            logits = model.forward(golden["ids"].tolist())
            assert_logits(logits, golden["logits"], FLOAT_LOGITS["f32"], f"{name}[{i}]")


@pytest.mark.parametrize("name", [n for n in SHAPES if "dtype" in SHAPES[n]], indirect=True)
def test_logits_at_the_dtype_of_the_file(
    name: str, directory: Path, gpt2_tiny: Golden, backend: str
) -> None:
    import lapwing

    dtype = STORED[SHAPES[name]["dtype"]]
    with lapwing.load(str(directory), dtype=dtype) as model:
        for i, golden in enumerate(sequences(gpt2_tiny, name)):
            logits = model.forward(golden["ids"].tolist())
            assert_logits(logits, golden["logits"], FLOAT_LOGITS[dtype], f"{name}[{i}] {dtype}")


@pytest.mark.parametrize("dtype", QUANTIZED_LOGITS)
def test_quantized_logits_stay_near(
    name: str, directory: Path, gpt2_tiny: Golden, backend: str, dtype: str
) -> None:
    import lapwing

    with lapwing.load(str(directory), dtype=dtype) as model:
        for i, golden in enumerate(sequences(gpt2_tiny, name)):
            error = rms_relative_error(model.forward(golden["ids"].tolist()), golden["logits"])
            assert error <= QUANTIZED_LOGITS[dtype], f"{name}[{i}] {dtype}: {error:.3f}"


def test_greedy_tokens_through_the_cache(
    name: str, directory: Path, gpt2_tiny: Golden, backend: str
) -> None:
    """Prefill, then one token a pass, up to the end of the context."""
    import lapwing

    with lapwing.load(str(directory), dtype="f32") as model:
        for i, golden in enumerate(sequences(gpt2_tiny, name)):
            tokens: list[int] = []
            new, cache = golden["ids"].tolist(), None
            for _ in golden["tokens"]:
                logits, cache = model.forward_with_kv_cache(new, cache, last_only=True)
                last = np.asarray(logits).reshape(-1, logits.shape[-1])[-1]
                tokens.append(int(last.argmax()))
                new = tokens[-1:]
            assert_greedy(
                tokens,
                golden["tokens"].tolist(),
                golden["margins"],
                FLOAT_LOGITS["f32"],
                f"{name}[{i}]",
            )


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["base", "odd"], indirect=True)
def test_padded_batch(
    name: str, directory: Path, gpt2_tiny: Golden, backend: str, side: str
) -> None:
    """Real tokens of a padded batch; positions count real tokens, as in transformers' generate."""
    import lapwing

    ids, mask = pad([golden["ids"].tolist() for golden in sequences(gpt2_tiny, name)], side)
    want = gpt2_tiny.arrays[f"{name}.padded_{side}.logits"]
    with lapwing.load(str(directory), dtype="f32") as model:
        logits = np.asarray(model(ids, attention_mask=mask).logits)
    assert logits.shape[:2] == ids.shape
    assert_logits(logits[mask == 1], want, FLOAT_LOGITS["f32"], f"{name} padded {side}")
