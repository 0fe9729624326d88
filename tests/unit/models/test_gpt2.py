"""Weights of GPT-2 by name: prefixes, extras, and what is missing."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from loading import TinyModels
from tiny import random_ids, read_checkpoint, write_gpt2, write_safetensors

import lapwing
from lapwing import ConfigError, WeightsError
from lapwing.models.registry import FAMILIES

IDS = random_ids(2, 12, 128)


def rewrite(directory: Path, **changes: object) -> None:
    """Tensors replaced, added, or (None) removed."""
    tensors = {**read_checkpoint(directory), **changes}
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    write_safetensors(directory / "model.safetensors", kept, "F32")


def logits(directory: Path, dtype: str = "f32") -> np.ndarray:
    with lapwing.load(directory, dtype=dtype) as model:
        return model.forward(IDS)


@pytest.mark.parametrize("prefix", ["transformer.", ""])
def test_both_prefixes_with_and_without_old_buffers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    plain = write_gpt2(tmp_path / "plain", seed=1)
    old = write_gpt2(tmp_path / "old", seed=1, prefix=prefix, attn_buffers=True)
    rewrite(old, **{f"{prefix}h.0.attn.masked_bias": np.float32(-1e4).reshape(())})
    np.testing.assert_array_equal(logits(plain), logits(old))
    assert not caplog.records  # known extras are nobody's surprise


def test_a_stored_head_that_is_tied_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = write_gpt2(tmp_path, seed=1)
    want = logits(made)
    rewrite(made, **{"lm_head.weight": np.zeros((128, 64), np.float32)})
    np.testing.assert_array_equal(logits(made), want)
    assert not caplog.records


def test_an_untied_head_is_needed(tmp_path: Path) -> None:
    made = write_gpt2(tmp_path, seed=1, extra_config={"tie_word_embeddings": False})
    with pytest.raises(WeightsError, match=r"1 missing: 'lm_head.weight'"):
        lapwing.load(made)


def test_other_extras_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = write_gpt2(tmp_path, seed=1)
    rewrite(made, **{"transformer.extra.weight": np.ones(3, np.float32)})
    with caplog.at_level(logging.WARNING, "lapwing"):
        logits(made)
    (record,) = caplog.records
    assert "1 tensors are not used: transformer.extra.weight" in record.getMessage()


def test_all_missing_and_misshaped_at_once(tmp_path: Path) -> None:
    made = write_gpt2(tmp_path, seed=1)
    rewrite(
        made,
        **{
            "transformer.h.0.ln_1.bias": None,
            "transformer.h.1.mlp.c_fc.weight": None,
            "transformer.wpe.weight": np.zeros((3, 64), np.float32),
            "transformer.h.1.attn.c_attn.weight": np.zeros((192, 64), np.float32),
        },
    )
    with pytest.raises(WeightsError) as caught:
        lapwing.load(made)
    message = str(caught.value)
    assert "2 missing: 'transformer.h.0.ln_1.bias'; 'transformer.h.1.mlp.c_fc.weight'" in message
    assert "'transformer.wpe.weight' is [3, 64], expected [64, 64]" in message
    assert "c_attn.weight' is [192, 64], expected [64, 192] (saved transposed?)" in message


@pytest.mark.parametrize("family", ["mamba", None, 3, "GPT2"])
def test_other_families_are_refused(tmp_path: Path, family: object) -> None:
    made = write_gpt2(tmp_path, seed=1, extra_config={"model_type": family})
    with pytest.raises(ConfigError) as caught:
        lapwing.load(made)
    where = made / "config.json"
    known = ", ".join(FAMILIES)
    assert str(caught.value) == f"{where}: 'model_type': expected one of {known}; got {family!r}"


@pytest.mark.parametrize("key", ["vocab_size", "n_positions", "n_inner", "n_embd", "n_head"])
@pytest.mark.parametrize("size", [2**40, 2**62])
def test_absurd_sizes_cost_nothing(tmp_path: Path, key: str, size: int) -> None:
    """They disagree with the weights, and that is found before memory is asked for."""
    made = write_gpt2(tmp_path, seed=1)
    config = json.loads((made / "config.json").read_text())
    changed = {**config, key: size}
    if key == "n_embd":
        changed["n_head"] = size // 64
    if key == "n_head":
        changed["n_embd"] = size
    (made / "config.json").write_text(json.dumps(changed))
    with pytest.raises((WeightsError, ConfigError)):
        lapwing.load(made)


def test_every_shape_loads_at_every_dtype(tiny_models: TinyModels) -> None:
    for shape in ("prime", "narrow_heads", "three_heads"):
        for dtype in ("f32", "f16", "bf16", "int8", "int4"):
            model = tiny_models.load(shape, dtype)
            values = model.forward(random_ids(1, 5, model.config.vocab_size))
            assert values.shape == (5, model.config.vocab_size)
            assert np.isfinite(values).all()
