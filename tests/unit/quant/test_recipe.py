"""Names of dtypes, and what each stores and reads."""

from __future__ import annotations

import numpy as np
import pytest

from lapwing import RequestError
from lapwing.quant.recipe import DTYPES, Recipe, parse_dtype


@pytest.mark.parametrize(
    ("spelling", "dtype"),
    [
        ("auto", "int8"),
        ("f32", "f32"),
        ("float32", "f32"),
        ("fp32", "f32"),
        ("FLOAT32", "f32"),
        ("torch.float32", "f32"),
        ("f16", "f16"),
        ("float16", "f16"),
        ("half", "f16"),
        ("torch.float16", "f16"),
        ("bf16", "bf16"),
        ("bfloat16", "bf16"),
        ("torch.bfloat16", "bf16"),
        ("int8", "int8"),
        ("q8", "int8"),
        ("int4", "int4"),
        ("q4", "int4"),
        (np.dtype(np.float16), "f16"),
    ],
)
def test_spellings(spelling: object, dtype: str) -> None:
    assert parse_dtype(spelling) == dtype


@pytest.mark.parametrize("wrong", ["f64", "int3", "", "8", None, 4, "f16 ", "torch.int8x"])
def test_unknown_spellings_are_named(wrong: object) -> None:
    with pytest.raises(RequestError) as caught:
        parse_dtype(wrong)
    message = f"dtype: expected one of auto, f32, f16, bf16, int8, int4; got {wrong!r}"
    assert str(caught.value) == message


def test_what_each_dtype_serves_and_caches() -> None:
    assert {d: Recipe(d).precisions for d in DTYPES} == {
        "f32": ("f32",),
        "f16": ("f16",),
        "bf16": ("bf16",),
        "int8": ("int8", "int4"),
        "int4": ("int4",),
    }
    # The same for int8 and int4, or a cache could not outlive a switch.
    assert {d: Recipe(d).kv_dtype for d in DTYPES} == {
        "f32": "f32",
        "f16": "f16",
        "bf16": "f16",
        "int8": "f16",
        "int4": "f16",
    }
    assert [d for d in DTYPES if Recipe(d).quantized] == ["int8", "int4"]
    assert [d for d in DTYPES if Recipe(d).refine_linears] == ["int8"]


def test_the_table_for_people() -> None:
    for dtype in DTYPES:
        kinds = [kind for kind, _, _ in Recipe(dtype).rows()]
        assert any("linears" in kind for kind in kinds)
        assert any("norms" in kind for kind in kinds)
    stored = {kind: how for kind, how, _ in Recipe("int4").rows()}
    assert stored["linears"] == "base plane"
    assert stored["token embeddings"] == "base + refine plane"
    assert stored["position, type embeddings"] == "f32"
