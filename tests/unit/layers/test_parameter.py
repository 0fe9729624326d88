"""What a weight is held as, and that the bytes announced are the bytes held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import write_gpt2, write_safetensors

from lapwing import WeightsError, backends
from lapwing.layers.parameter import MATRIX_ROLES, Parameter
from lapwing.quant.recipe import DTYPES, Recipe
from lapwing.weights.lazy import LazyTensor
from lapwing.weights.safetensors import SafetensorsFile

SHAPES = [(1, 1), (3, 33), (8, 32), (9, 129), (40, 60), (65, 300)]
FILE_DTYPES = ("F32", "F16", "BF16")


@pytest.fixture(params=backends.available())
def backend(request: pytest.FixtureRequest) -> Any:
    return backends.create(request.param, 1)


@pytest.fixture
def stored(tmp_path: Path) -> Any:
    """`stored(shape, "F16")`: a random tensor on disk."""
    opened: list[SafetensorsFile] = []

    def tensor(shape: tuple[int, ...], file_dtype: str) -> LazyTensor:
        data = np.random.default_rng(len(opened)).standard_normal(shape).astype(np.float32)
        path = tmp_path / f"{len(opened)}.safetensors"
        write_safetensors(path, {"w": data}, file_dtype)  # type: ignore[arg-type]
        opened.append(SafetensorsFile(path))
        return LazyTensor(opened[-1], "w")

    yield tensor
    for file in opened:
        file.close()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("file_dtype", FILE_DTYPES)
@pytest.mark.parametrize("layout", ["nk", "kn"])
def test_announced_bytes_are_held(
    backend: Any, stored: Any, dtype: str, file_dtype: str, layout: Any
) -> None:
    for shape in SHAPES:
        for role in MATRIX_ROLES:
            tensor = stored(shape, file_dtype)
            parameter = Parameter(tensor, role, layout, backend, Recipe(dtype))
            announced = parameter.held_bytes
            assert not parameter.loaded
            parameter.load()
            matrix = parameter.matrix
            assert (shape if layout == "nk" else shape[::-1]) == (matrix.N, matrix.K)
            assert matrix.base_bytes + matrix.refine_bytes == announced
            assert matrix.owned_bytes == (0 if parameter.in_place else announced)
            if parameter.quantized and role in ("linear", "head"):
                read = matrix.base_bytes + (matrix.refine_bytes if dtype == "int8" else 0)
                assert parameter.bytes_per_token(dtype) == read
            parameter.release()
            assert not parameter.loaded


HELD = {  # (file's dtype, loaded as) → how a linear is held
    ("F32", "f32"): "f32",
    ("F16", "f32"): "f16",  # narrower and exact: in place
    ("BF16", "f32"): "bf16",
    ("F32", "f16"): "f16",
    ("F16", "f16"): "f16",
    ("BF16", "f16"): "f16",
    ("F32", "bf16"): "bf16",
    ("F16", "bf16"): "bf16",
    ("BF16", "bf16"): "bf16",
}


@pytest.mark.parametrize(("file_dtype", "dtype"), HELD)
def test_float_dtypes(stored: Any, file_dtype: str, dtype: str) -> None:
    backend = backends.create("reference")
    held = HELD[file_dtype, dtype]
    linear = Parameter(stored((4, 6), file_dtype), "linear", "nk", backend, Recipe(dtype))
    assert linear.held_dtype == held
    assert linear.in_place == (held.upper() == file_dtype)
    assert linear.held_bytes == 24 * (4 if held == "f32" else 2)
    bias = Parameter(stored((6,), file_dtype), "bias", "nk", backend, Recipe(dtype))
    assert (bias.held_dtype, bias.held_bytes, bias.in_place) == ("f32", 24, False)
    bias.load()
    assert bias.vector.dtype == np.float32
    assert bias.vector.shape == (6,)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_integer_dtypes(stored: Any, dtype: str) -> None:
    backend = backends.create("reference")
    want = {
        "linear": "base+refine" if dtype == "int8" else "base",
        "head": "base+refine" if dtype == "int8" else "base",
        "embedding": "base+refine",  # look-ups always read both planes
        "tied": "base+refine",
        "position": "f32",
        "norm": "f32",
        "bias": "f32",
    }
    for role, held in want.items():
        shape = (8,) if role in ("norm", "bias") else (16, 128)
        tensor = stored(shape, "F16")
        parameter = Parameter(tensor, role, "nk", backend, Recipe(dtype))  # type: ignore[arg-type]
        assert parameter.held_dtype == held
    # 16 × 128 weights at 4.5 + 8/128 bits and at 8.5 + 8/128; one row of an embedding a token.
    tied = Parameter(stored((16, 128), "F32"), "tied", "nk", backend, Recipe(dtype))
    assert tied.held_bytes * 8 == 16 * 128 * (8.5 + 8 / 128)
    assert tied.bytes_per_token("int8") * 8 == 16 * 128 * (8.5 + 8 / 128)
    assert tied.bytes_per_token("int4") * 8 == 16 * 128 * (4.5 + 8 / 128)
    table = Parameter(stored((16, 128), "F32"), "embedding", "nk", backend, Recipe(dtype))
    assert table.bytes_per_token("int4") == table.held_bytes // 16


def test_a_parameter_that_is_not_there(tmp_path: Path) -> None:
    tensor = LazyTensor.unloadable("x.weight", (2, 3), tmp_path)
    backend = backends.create("reference")
    parameter = Parameter(tensor, "linear", "nk", backend, Recipe("f32"))
    with pytest.raises(WeightsError, match=r"'x.weight' of shape \[2, 3\] is not stored"):
        parameter.load()


def test_planes_of_a_whole_model(tmp_path: Path) -> None:
    """A linear's bits are 4.5 + 8/K and 8.5 + 8/K a weight where no size needs padding."""
    import lapwing

    made = write_gpt2(tmp_path, seed=1, n_embd=128, n_head=4, vocab_size=256)
    for dtype, bits in (("int4", 4.5), ("int8", 8.5)):
        with lapwing.load(made, dtype=dtype) as model:
            for parameter in model.parameters:
                if parameter.role == "linear":
                    weights = parameter.N * parameter.K
                    assert parameter.held_bytes * 8 == weights * (bits + 8 / parameter.K)
