"""The compiled core against NumPy's definition of every operation."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import rms_relative_error
from loading import TinyModels, needs_core
from tiny import SHAPES, random_ids
from tolerances import FLOAT_LOGITS, QUANTIZED_LOGITS

from lapwing.quant.recipe import DTYPES

pytestmark = needs_core

LENGTH = 6  # short: see below


def assert_agree(tiny_models: TinyModels, shape: str, dtype: str) -> None:
    """float32 sums in another order: `f32` of the table.

    Except where one of those falls on the other side of a rounding border, of a float16 key or, of
    more weight, of an int8 activation: whoever attends to that token sees a code's difference,
    noise as that of int8 itself. In many short sequences most tokens have seen none.
    """
    cpu = tiny_models.load(shape, dtype, backend="cpu")
    numpy = tiny_models.load(shape, dtype, backend="reference")
    assert (cpu.backend, numpy.backend, numpy.isa) == ("cpu", "reference", "numpy")
    ids = [random_ids(seed, LENGTH, cpu.config.vocab_size) for seed in range(40)]
    got, want = cpu.forward(ids), numpy.forward(ids)
    errors = np.abs(got - want).max(-1) / np.abs(want).max()  # of each token
    if dtype in ("int8", "int4"):
        assert np.median(errors) <= FLOAT_LOGITS["f32"]
        assert rms_relative_error(got, want) <= QUANTIZED_LOGITS["int8"]
    else:
        assert errors.max() <= FLOAT_LOGITS[dtype]
    prefix, cache = numpy.forward_with_kv_cache(ids[0][:2])
    rest, cache = numpy.forward_with_kv_cache(ids[0][2:], cache)
    alone = numpy.forward(ids[0])
    errors = np.abs(np.concatenate([prefix, rest]) - alone).max(-1) / np.abs(alone).max()
    assert errors.max() <= (FLOAT_LOGITS | QUANTIZED_LOGITS)[dtype]


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - {"long", "f16", "bf16", "sharded"}))
@pytest.mark.parametrize("dtype", ["f32", "int8"])
def test_every_shape(tiny_models: TinyModels, shape: str, dtype: str) -> None:
    assert_agree(tiny_models, shape, dtype)


@pytest.mark.parametrize("shape", ["odd", "f16", "bf16"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(tiny_models: TinyModels, shape: str, dtype: str) -> None:
    assert_agree(tiny_models, shape, dtype)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_model_is_the_same_from_shards_and_from_either_name(
    tiny_models: TinyModels, backend: str
) -> None:
    """One file or three, with `transformer.` before every name or without."""
    ids = random_ids(1, 20, 128)
    whole = tiny_models.load("base", "f32", backend=backend).forward(ids)
    old = tiny_models.load("old_hub", "f32", backend=backend).forward(ids)
    np.testing.assert_array_equal(whole, old)
    half = tiny_models.load("f16", "f16", backend=backend).forward(ids)
    sharded = tiny_models.load("sharded", "f16", backend=backend).forward(ids)
    np.testing.assert_array_equal(half, sharded)
