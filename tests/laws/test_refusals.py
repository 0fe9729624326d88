"""A weight that is no number, or none for the dtype asked for, is refused by name and index."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from loading import TinyModels
from tiny import random_ids, write_gpt2

import lapwing
from lapwing import WeightsError, backends
from lapwing.quant.recipe import DTYPES

FORMAT = {"F32": "<u4", "F16": "<u2", "BF16": "<u2"}
BITS = {
    ("F32", "nan"): 0x7FC00000,
    ("F32", "-inf"): 0xFF800000,
    ("F16", "nan"): 0x7E01,
    ("F16", "inf"): 0x7C00,
    ("BF16", "nan"): 0x7F81,
    ("BF16", "-inf"): 0xFF80,
}


def poke(directory: Path, tensor: str, index: tuple[int, ...], bits: int) -> None:
    """Overwrites one stored number."""
    path = directory / "model.safetensors"
    raw = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(raw[:8], "little")
    info = json.loads(raw[8:start])[tensor]
    kind = np.dtype(FORMAT[info["dtype"]])
    at = start + info["data_offsets"][0]
    flat = int(np.ravel_multi_index(index, info["shape"]))
    at += flat * kind.itemsize
    raw[at : at + kind.itemsize] = np.array(bits, kind).tobytes()
    path.write_bytes(raw)


@pytest.fixture(params=backends.available())
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LAPWING_BACKEND", request.param)
    return str(request.param)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("file_dtype", "kind"), BITS)
def test_not_finite(backend: str, tmp_path: Path, file_dtype: str, kind: str, dtype: str) -> None:
    for tensor, index in [
        ("transformer.h.1.mlp.c_proj.weight", (70, 3)),
        ("transformer.wte.weight", (96, 59)),
        ("transformer.wpe.weight", (0, 1)),
        ("transformer.h.0.ln_1.bias", (11,)),
    ]:
        made = write_gpt2(
            tmp_path / tensor, seed=1, n_embd=60, n_head=5, vocab_size=97, dtype=file_dtype
        )
        poke(made, tensor, index, BITS[file_dtype, kind])
        with pytest.raises(WeightsError) as caught:
            lapwing.load(made, dtype=dtype, threads=2)
        message = str(caught.value)
        assert f"{made / 'model.safetensors'}: '{tensor}'{list(index)} is {kind}," in message


def test_the_first_of_several(backend: str, tmp_path: Path) -> None:
    made = write_gpt2(tmp_path, seed=1, n_layer=1)
    for index in ((40, 2), (3, 60), (3, 9)):
        poke(made, "transformer.h.0.attn.c_proj.weight", index, BITS["F32", "nan"])
    with pytest.raises(WeightsError, match=r"c_proj.weight'\[3, 9\] is nan"):
        lapwing.load(made, dtype="f32")


@pytest.mark.parametrize(
    ("dtype", "value", "why"),
    [
        ("f16", 65520.0, "does not fit f16"),
        ("f16", -1e9, "does not fit f16"),
        ("bf16", 3.4e38, "does not fit bf16"),
        ("int8", 2e18, "cannot be quantized"),
        ("int4", -3e38, "cannot be quantized"),
    ],
)
def test_too_large(backend: str, tmp_path: Path, dtype: str, value: float, why: str) -> None:
    made = write_gpt2(tmp_path, seed=1)
    tensor = "transformer.h.0.mlp.c_fc.weight"
    poke(made, tensor, (63, 255), int(np.float32(value).view(np.uint32)))
    with pytest.raises(WeightsError) as caught:
        lapwing.load(made, dtype=dtype)
    message = str(caught.value)
    assert f"'{tensor}'[63, 255] is {float(np.float32(value))}, which {why}" in message
    lapwing.load(made, dtype="f32").close()  # f32 holds them all


def test_what_just_fits(backend: str, tmp_path: Path) -> None:
    made = write_gpt2(tmp_path, seed=1)
    tensor = "transformer.h.0.mlp.c_fc.weight"
    poke(made, tensor, (0, 0), int(np.float32(65519.99).view(np.uint32)))
    lapwing.load(made, dtype="f16").close()


def test_tensors_that_start_at_odd_bytes(
    backend: str, tiny_models: TinyModels, tmp_path: Path
) -> None:
    """Old writers did not pad the header: every array of the file is then unaligned."""
    for file_dtype in ("F32", "F16", "BF16"):
        made = write_gpt2(tmp_path / file_dtype, seed=1, dtype=file_dtype)
        path = made / "model.safetensors"
        ids = random_ids(1, 9, 128)
        dtypes = ("f32", "f16", "int8") if file_dtype != "BF16" else ("f32", "bf16", "int4")
        want = {}
        for dtype in dtypes:
            with lapwing.load(made, dtype=dtype) as model:
                want[dtype] = model.forward(ids)
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        odd = raw[8 : 8 + length] + b" "
        assert (8 + len(odd)) % 2 == 1
        path.write_bytes(len(odd).to_bytes(8, "little") + odd + raw[8 + length :])
        for dtype in dtypes:
            with lapwing.load(made, dtype=dtype) as model:
                np.testing.assert_array_equal(model.forward(ids), want[dtype])
