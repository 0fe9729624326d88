"""Scopes: names joined, faults collected, one message at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lapwing.errors import WeightsError
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.scope import Scope


def checkpoint(directory: Path, shapes: dict[str, list[int]], dtype: str = "F16") -> Checkpoint:
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * shape[0] * shape[-1] if len(shape) == 2 else end + 2 * shape[0]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    raw = len(text).to_bytes(8, "little") + text + bytes(end)
    (directory / "model.safetensors").write_bytes(raw)
    (directory / "config.json").write_text("{}")
    return Checkpoint(directory)


SHAPES = {
    "transformer.h.0.attn.weight": [4, 12],
    "transformer.h.0.attn.bias": [12],
    "transformer.h.0.attn.mask": [4, 4],
    "lm_head.weight": [6, 4],
}


def test_names_are_joined_on_the_way_down(tmp_path: Path) -> None:
    root = Scope.root(checkpoint(tmp_path, SHAPES), "transformer")
    attn = root["h.0"]["attn"]
    assert attn.path == "transformer.h.0.attn"
    assert attn.has("bias")
    assert not attn.has("scale")
    weight = attn.tensor("weight", shape=(4, 12))
    assert weight.name == "transformer.h.0.attn.weight"
    assert weight.get().shape == (4, 12)


def test_what_nobody_asked_for_is_returned_unless_known(tmp_path: Path) -> None:
    root = Scope.root(checkpoint(tmp_path, SHAPES))
    attn = root["transformer.h.0.attn"]
    attn.tensor("weight", (4, 12))
    attn.tensor("bias", (12,))
    assert root.finish() == ["lm_head.weight", "transformer.h.0.attn.mask"]
    assert root.finish(("*.attn.mask",)) == ["lm_head.weight"]


def test_all_faults_come_in_one_message(tmp_path: Path) -> None:
    root = Scope.root(checkpoint(tmp_path, SHAPES))
    attn = root["transformer.h.0.attn"]
    stand_in = attn.tensor("weight", (12, 4))
    attn.tensor("bias", (13,))
    attn.tensor("gone", (3,))
    root.tensor("also.gone", (3,))
    assert stand_in.shape == (12, 4)
    with pytest.raises(WeightsError, match=r"'transformer\.h\.0\.attn\.weight' of shape \[12, 4\]"):
        stand_in.get()
    with pytest.raises(WeightsError) as caught:
        root.finish(("*.mask",))
    assert str(caught.value).splitlines() == [
        f"{tmp_path}: the weights do not match config.json.",
        "  2 missing: 'also.gone'; 'transformer.h.0.attn.gone'",
        "  2 misshaped: 'transformer.h.0.attn.bias' is [12], expected [13]; "
        "'transformer.h.0.attn.weight' is [4, 12], expected [12, 4] (saved transposed?)",
        "  1 stored but not asked for: 'lm_head.weight'",
        "Check that config.json and the weights are of the same model, or fetch both again.",
    ]


def test_a_long_list_is_cut_and_counted(tmp_path: Path) -> None:
    root = Scope.root(checkpoint(tmp_path, {}))
    for layer in range(25):
        root[f"h.{layer:02}"].tensor("weight", (2, 2))
    with pytest.raises(WeightsError) as caught:
        root.finish()
    assert "25 missing: 'h.00.weight'; " in str(caught.value)
    assert "'h.09.weight'; and 15 more" in str(caught.value)
    assert "h.10" not in str(caught.value)


def test_a_dtype_that_no_layer_reads_is_reported(tmp_path: Path) -> None:
    root = Scope.root(checkpoint(tmp_path, {"w": [2]}, dtype="I16"))
    root.tensor("w", (2,))
    with pytest.raises(
        WeightsError, match="1 mistyped: 'w' is I16, expected one of F32, F16, BF16"
    ):
        root.finish()
    assert Scope.root(root._ledger.checkpoint).tensor("w", (2,), ("I16",)).get().sum() == 0
