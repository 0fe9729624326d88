"""Tiny random Llamas and friends give the logits and tokens that transformers gave."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from agreement import assert_greedy, assert_logits, rms_relative_error
from golden.conftest import Golden, read_golden
from oracle import pad
from tiny_llama_variants import LLAMAS
from tiny_llamas import write_llama
from tolerances import FLOAT_LOGITS, QUANTIZED_LOGITS

Array = npt.NDArray[Any]

STORED = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
DYNAMIC = [name for name in LLAMAS if name.startswith("dynamic")]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llamas")


@pytest.fixture
def llamas() -> Golden:
    return read_golden("llamas")


@pytest.fixture(params=LLAMAS)
def name(request: pytest.FixtureRequest) -> str:
    variant: str = request.param
    return variant


@pytest.fixture
def directory(name: str, checkpoints: Path, llamas: Golden) -> Path:
    path = checkpoints / name
    if not path.exists():
        write_llama(path, seed=llamas.facts["variants"][name]["seed"], **LLAMAS[name])
    return path


@dataclass(frozen=True)
class Sequence:
    """Of one variant, with what transformers said of it and after it."""

    ids: Array  # [L]
    logits: Array  # [L, V]
    tokens: Array  # [steps]
    margins: Array  # [steps]


def sequences(golden: Golden, name: str) -> list[Sequence]:
    facts = golden.facts["variants"][name]
    sizes = {
        "ids": facts["lengths"],
        "logits": facts["lengths"],
        "tokens": facts["steps"],
        "margins": facts["steps"],
    }
    parts = [
        np.split(golden.arrays[f"{name}.{part}"], np.cumsum(lengths)[:-1])
        for part, lengths in sizes.items()
    ]
    return [Sequence(*values) for values in zip(*parts, strict=True)]


def test_the_checkpoint_is_the_goldens_byte_for_byte(
    name: str, directory: Path, llamas: Golden
) -> None:
    for file, sha256 in llamas.facts["variants"][name]["sha256"].items():
        assert hashlib.sha256((directory / file).read_bytes()).hexdigest() == sha256, file


def test_f32_logits(name: str, directory: Path, llamas: Golden, backend: str) -> None:
    import lapwing

    with lapwing.load(str(directory), dtype="f32") as model:
        for i, golden in enumerate(sequences(llamas, name)):
            logits = model.forward(golden.ids.tolist())
            assert_logits(logits, golden.logits, FLOAT_LOGITS["f32"], f"{name}[{i}]")


@pytest.mark.parametrize("name", [n for n in LLAMAS if "dtype" in LLAMAS[n]], indirect=True)
def test_logits_at_the_dtype_of_the_file(
    name: str, directory: Path, llamas: Golden, backend: str
) -> None:
    import lapwing

    dtype = STORED[LLAMAS[name]["dtype"]]
    with lapwing.load(str(directory), dtype=dtype) as model:
        for i, golden in enumerate(sequences(llamas, name)):
            logits = model.forward(golden.ids.tolist())
            assert_logits(logits, golden.logits, FLOAT_LOGITS[dtype], f"{name}[{i}] {dtype}")


@pytest.mark.parametrize("dtype", QUANTIZED_LOGITS)
def test_quantized_logits_stay_near(
    name: str, directory: Path, llamas: Golden, backend: str, dtype: str
) -> None:
    import lapwing

    with lapwing.load(str(directory), dtype=dtype) as model:
        for i, golden in enumerate(sequences(llamas, name)):
            error = rms_relative_error(model.forward(golden.ids.tolist()), golden.logits)
            assert error <= QUANTIZED_LOGITS[dtype], f"{name}[{i}] {dtype}: {error:.3f}"


def test_greedy_tokens_through_the_cache(
    name: str, directory: Path, llamas: Golden, backend: str
) -> None:
    """Prefill, then one token a pass, beyond every window."""
    import lapwing

    with lapwing.load(str(directory), dtype="f32") as model:
        for i, golden in enumerate(sequences(llamas, name)):
            new, tokens = golden.ids.tolist(), list[int]()
            cache = model.kv_cache(len(new) + len(golden.tokens))  # its size may decide how to turn
            for _ in golden.tokens:
                logits, cache = model.forward_with_kv_cache(new, cache, last_only=True)
                tokens.append(int(logits[-1].argmax()))
                new = tokens[-1:]
            want = golden.tokens.tolist()
            assert_greedy(tokens, want, golden.margins, FLOAT_LOGITS["f32"], f"{name}[{i}]")


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch(name: str, directory: Path, llamas: Golden, backend: str, side: str) -> None:
    """All sequences at once, as each by itself: a row's length is that of its real tokens."""
    import lapwing

    golden = sequences(llamas, name)
    ids, mask = pad([one.ids.tolist() for one in golden], side)
    with lapwing.load(str(directory), dtype="f32") as model:
        logits = model(ids, attention_mask=mask).logits
    assert logits.shape[:2] == ids.shape
    assert not logits[mask == 0].any()
    want = llamas.arrays[f"{name}.logits"]
    assert_logits(logits[mask == 1], want, FLOAT_LOGITS["f32"], f"{name} padded {side}")


@pytest.mark.parametrize("name", DYNAMIC, indirect=True)
def test_beyond_the_trained_length(
    name: str, directory: Path, llamas: Golden, backend: str
) -> None:
    """Dynamic NTK would turn every position anew at each length: right, or refused."""
    import lapwing

    ids = llamas.arrays[f"{name}.beyond.ids"].tolist()
    want = llamas.arrays[f"{name}.beyond.logits"]
    with lapwing.load(str(directory), dtype="f32") as model:
        if len(ids) <= model.context_length:
            assert_logits(model.forward(ids), want, FLOAT_LOGITS["f32"], name)
        else:
            with pytest.raises(lapwing.RequestError, match="positions"):
                model.forward(ids)
