"""Equal tensors: stored once, held once, within a model and across models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import write_gpt2, write_safetensors

import lapwing
from lapwing.engine.causal import CausalModel
from lapwing.weights.safetensors import SafetensorsFile
from lapwing.weights.store.checkpoint import StoredCheckpoint

IDS = [1, 2, 3, 4]
HEAD, TABLE = "lm_head.weight", "transformer.wte.weight"


def write(directory: Path, *, equal: bool) -> Path:
    """An untied head; equal: it has the embedding's values, as some fine-tuned models do."""
    write_gpt2(directory, seed=1, tie=False)
    path = directory / "model.safetensors"
    file = SafetensorsFile(path)
    tensors = {name: np.array(file.view(name)) for name in file.tensors}
    file.close()
    if equal:
        tensors[HEAD] = tensors[TABLE].copy()
    write_safetensors(path, tensors, "F32")
    return directory


@pytest.mark.parametrize("dtype", ["int8", "int4", "f16"])
def test_an_equal_head_is_stored_once(tmp_path: Path, cache: Path, dtype: str) -> None:
    directory = write(tmp_path / "equal", equal=True)
    other = write(tmp_path / "other", equal=False)
    with lapwing.load(directory, dtype, store=False) as model:
        expected = model.forward(IDS)
    sizes = {}
    for name, made in (("equal", directory), ("other", other)):
        with lapwing.load(made, dtype, load="mapped") as model:
            checkpoint = model._checkpoint
            assert isinstance(checkpoint, StoredCheckpoint)
            pieces = [piece for piece in checkpoint.store.tensors if HEAD in piece]
            assert bool(pieces) == (name == "other")
            sizes[name] = checkpoint.store.nbytes
            if name == "equal":
                np.testing.assert_array_equal(model.forward(IDS), expected)
    assert sizes["equal"] < sizes["other"]


def test_models_share_what_their_stores_have_in_common(tmp_path: Path, cache: Path) -> None:
    """By the digests in the stores; nothing is read to find out."""
    first = write(tmp_path / "first", equal=False)
    second = write(tmp_path / "second", equal=True)  # the same but for its head
    with lapwing.load(first) as alone:
        expected = alone.forward(IDS)
        one = alone.estimate_memory_usage()
    models = lapwing.load_shared([first, second], load="mapped")
    assert lapwing.held_bytes(models) < 1.3 * one
    same = [
        a.tensor.name
        for a, b in zip(models[0].parameters, models[1].parameters, strict=True)
        if a.role not in ("norm", "bias") and a.matrix is b.matrix
    ]
    assert TABLE in same
    assert HEAD not in same
    models[0].close()  # its file is gone, what the other uses stays
    assert isinstance(models[1], CausalModel)
    with_embedding = models[1].forward(IDS)
    models[1].close()
    with lapwing.load(second) as alone:
        np.testing.assert_array_equal(with_embedding, alone.forward(IDS))
    assert expected.shape == with_embedding.shape
