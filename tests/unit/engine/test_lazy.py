"""Weights that are read when they are used, layers that come and go, and models run in part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from loading import TinyEncoders, TinyModels
from tiny import random_ids, write_gpt2
from tiny_llama_variants import LLAMAS
from tiny_llamas import write_llama

import lapwing
from lapwing import LazyTensor, RequestError, WeightsError
from lapwing.quant.recipe import DTYPES

IDS = random_ids(2, 12, 30)


@pytest.mark.parametrize("dtype", DTYPES)
def test_lazy_is_eager(tiny_models: TinyModels, dtype: str) -> None:
    directory = tiny_models.directory("odd")
    with lapwing.load(directory, dtype, load="lazy") as model:
        assert not any(parameter.loaded for parameter in model.parameters)
        assert not any(tensor.loaded for tensor in model.tensors.values())
        got = model.forward(IDS)
        assert all(parameter.loaded for parameter in model.parameters)
        with lapwing.load(directory, dtype) as eager:
            np.testing.assert_array_equal(got, eager.forward(IDS))


def test_layers_come_and_go(tiny_models: TinyModels) -> None:
    with lapwing.load(tiny_models.directory("three_heads"), "int8", load="lazy") as model:
        first, second, third = model.layers
        assert [layer.index for layer in model.layers] == [0, 1, 2]
        second.load()
        assert (first.loaded, second.loaded, third.loaded) == (False, True, False)
        want = model.forward(IDS)
        assert first.loaded
        second.release()
        assert (first.loaded, second.loaded) == (True, False)
        np.testing.assert_array_equal(model.forward(IDS), want)
        held = sum(parameter.held_bytes for parameter in second.parameters)
        assert second.held_bytes == held > 0


def test_layers_of_every_kind(tiny_encoders: TinyEncoders, tmp_path: Path) -> None:
    for variant in ("bert", "distilbert", "roberta", "electra"):
        assert len(tiny_encoders.load(variant).layers) == 2
    write_llama(tmp_path, seed=1, **LLAMAS["qwen3"])
    with lapwing.load(tmp_path) as model:
        assert len(model.layers) == model.config.num_hidden_layers  # type: ignore[attr-defined]
        inside = sum(len(layer.parameters) for layer in model.layers)
        assert inside == len(model.parameters) - len(("embedding", "norm", "head"))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3_text"])
def test_the_first_layers_alone(tmp_path: Path, family: str) -> None:
    """Nothing beyond them is touched; all of them, normed and read by the head, are the logits."""
    if family == "gpt2":
        write_gpt2(tmp_path, seed=1, n_layer=3)
    else:
        write_llama(tmp_path, seed=1, model_type=family, num_hidden_layers=3)
    with lapwing.load(tmp_path, "f32", load="lazy") as model:
        hidden = [model.forward(IDS, layers=range(k)) for k in range(3)]
        assert [layer.loaded for layer in model.layers] == [True, True, False]
        assert all(h.shape == hidden[0].shape for h in hidden)
        assert not np.array_equal(hidden[0], hidden[1])
        whole = model.forward(IDS, layers=range(3))
        network = model._network  # type: ignore[attr-defined]
        norm = network.ln_f if family == "gpt2" else network.norm
        np.testing.assert_array_equal(network.logits(norm(whole), "f32"), model.forward(IDS))
        both = model.forward([IDS, IDS[::-1]], layers=range(2))
        np.testing.assert_array_equal(both[0], hidden[2])
        for bad in (range(4), range(1, 2), range(0, 4, 2), [0], 2):
            with pytest.raises(RequestError, match="layers: "):
                model.forward(IDS, layers=bad)  # type: ignore[arg-type]


def test_a_lazy_tensor(tiny_models: TinyModels) -> None:
    with lapwing.load(tiny_models.directory("f16"), load="lazy") as model:
        tensor = model.tensors["transformer.wte.weight"]
        assert isinstance(tensor, LazyTensor)
        assert (tensor.shape, tensor.dtype, tensor.loaded) == ((128, 64), "F16", False)
        data = tensor.get()
        assert (data.shape, data.dtype, tensor.loaded) == ((128, 64), np.float16, True)
        first = float(data[3, 5])
        del data
        tensor.release()
        assert not tensor.loaded
        assert float(tensor.get()[3, 5]) == first


def test_a_bad_weight_is_found_when_it_is_used(tmp_path: Path) -> None:
    made = write_gpt2(tmp_path, seed=1)
    path = made / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-4:] = np.float32(np.nan).tobytes()  # of ln_f, the last in the file
    path.write_bytes(raw)
    with pytest.raises(WeightsError, match="ln_f"):
        lapwing.load(made)
    with pytest.raises(WeightsError, match="ln_f"):
        lapwing.load(made, load="lazy")  # a store is made of all weights, or of none
    with lapwing.load(made, load="lazy", store=False) as model:
        model.forward(IDS, layers=range(2))
        for _ in range(2):
            with pytest.raises(WeightsError, match=r"'transformer.ln_f.bias'.* is nan"):
                model.forward(IDS)


def test_what_is_refused(tiny_models: TinyModels) -> None:
    directory = tiny_models.directory()
    with pytest.raises(RequestError, match=r"load: expected one of auto, .*eager; got 'fast'"):
        lapwing.load(directory, load="fast")
    model = lapwing.load(directory, load="lazy")
    handle = model.layers[0]
    model.close()
    with pytest.raises(RequestError, match="was given up: the model is closed; load it again"):
        handle.load()
    with pytest.raises(RequestError, match="the model is closed"):
        model.tensors  # noqa: B018
