"""Several models, and what they have in common held once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import random_ids, read_checkpoint, write_gpt2, write_safetensors

import lapwing
from lapwing import RequestError, WeightsError
from lapwing.quant.recipe import DTYPES

IDS = random_ids(2, 12, 128)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The second has another first layer and other norms; the rest are the same bytes."""
    first, second = (write_gpt2(tmp_path / name, seed=1) for name in ("first", "second"))
    others = read_checkpoint(write_gpt2(tmp_path / "others", seed=2))
    tensors = read_checkpoint(second)
    for name in tensors:
        if ".h.0." in name or "ln_" in name:
            tensors[name] = others[name]
    write_safetensors(second / "model.safetensors", tensors, "F32")
    return first, second


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_matrices_are_one(pair: tuple[Path, Path], dtype: str) -> None:
    apart = [lapwing.load(path, dtype) for path in pair]
    together = lapwing.load_shared(pair, dtype)
    a, b = ({p.tensor.name: p for p in model.parameters} for model in together)
    for name, parameter in a.items():
        if len(parameter.tensor.shape) == 2:
            alike = ".h.0." not in name
            assert (parameter.matrix is b[name].matrix) == alike, name
    saved = lapwing.held_bytes(apart) - lapwing.held_bytes(together)
    common = [p for p in a.values() if len(p.tensor.shape) == 2 and ".h.0." not in p.tensor.name]
    assert saved == sum(p.held_bytes for p in common) > 0
    for one, shared in zip(apart, together, strict=True):
        np.testing.assert_array_equal(one.forward(IDS), shared.forward(IDS))
    want = together[1].forward(IDS)
    together[0].close()
    np.testing.assert_array_equal(together[1].forward(IDS), want)  # its weights stay
    for model in (*apart, *together):
        model.close()
    assert lapwing.held_bytes(together) == 0


def test_by_bytes_and_not_by_name(tmp_path: Path) -> None:
    """One tensor in two dtypes, or read the other way round, is not one matrix."""
    first = write_gpt2(tmp_path / "a", seed=1)
    second = write_gpt2(tmp_path / "b", seed=1, dtype="F16")
    models = lapwing.load_shared([first, second], "int8")
    for p, q in zip(models[0].parameters, models[1].parameters, strict=True):
        assert p.held is not q.held
    for model in models:
        model.close()


def test_the_same_model_twice_and_lazily(tmp_path: Path) -> None:
    made = write_gpt2(tmp_path, seed=1)
    first, second = lapwing.load_shared([made, made], "int4", load="lazy")
    assert lapwing.held_bytes([first, second]) == 0
    np.testing.assert_array_equal(first.forward(IDS), second.forward(IDS))
    vectors = sum(p.held_bytes for p in first.parameters if p.role in ("norm", "bias"))
    total = first.estimate_memory_usage()
    assert lapwing.held_bytes([first, second]) == total + vectors
    first.close()
    second.close()


def test_what_fails_leaves_nothing_open(tmp_path: Path) -> None:
    made = write_gpt2(tmp_path / "a", seed=1)
    broken = write_gpt2(tmp_path / "b", seed=1)
    (broken / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError):
        lapwing.load_shared([made, broken])
    with pytest.raises(RequestError, match="expected several models, got one"):
        lapwing.load_shared(str(made))
