"""Weights out of a store are, bit by bit, those that a load without one makes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import TinyEncoders, TinyModels, needs_core
from numpy.typing import NDArray
from stores import store_in
from tiny import Draw, random_ids, read_checkpoint, write_gpt2, write_safetensors
from tiny_llama_variants import LLAMAS
from tiny_llamas import write_llama

import lapwing
from lapwing.engine.encoder import EncoderModel
from lapwing.layers.parameter import Parameter
from lapwing.weights.store.file import StoreFile
from lapwing.weights.store.format import TURNED

GPT2S = ("base", "odd", "prime", "untied", "f16", "bf16", "sharded", "old_hub")
TINY_LLAMAS = ("llama", "odd", "tied", "copied_head", "gemma2")
DTYPES = ("int8", "int4", "f16", "bf16")
LOADS = ("mapped", "lazy", "progressive", "eager")
TEXTS = ["the king was old", "three golden balls", "water"]


@dataclass(frozen=True)
class Models:
    """`directory("gpt2/odd")`, of every family."""

    gpt2s: TinyModels
    encoders: TinyEncoders
    folder: Path

    def directory(self, name: str) -> Path:
        family, _, variant = name.partition("/")
        if family == "gpt2":
            return self.gpt2s.directory(variant)
        if family == "encoder":
            return self.encoders.directory(variant, text=True)
        path = self.folder / variant
        return path if path.exists() else write_llama(path, seed=1, **LLAMAS[variant])


@pytest.fixture(scope="module")
def models(
    tiny_models: TinyModels,
    tiny_encoders: TinyEncoders,
    tmp_path_factory: pytest.TempPathFactory,
) -> Models:
    return Models(tiny_models, tiny_encoders, tmp_path_factory.mktemp("llamas"))


NAMES = [
    *(f"gpt2/{name}" for name in GPT2S),
    *(f"llama/{name}" for name in TINY_LLAMAS),
    *(f"encoder/{name}" for name in ("dense", "distilbert", "roberta")),
]
ON_BACKENDS = [
    *(pytest.param(name, "cpu", marks=needs_core, id=f"{name}-cpu") for name in NAMES),
    *((name, "reference") for name in ("gpt2/odd", "llama/odd", "encoder/dense")),
]


def answer(model: lapwing.Model, dtype: str) -> NDArray[Any]:
    """Of a pass through every weight."""
    if isinstance(model, EncoderModel):
        return model.embed(TEXTS)
    return model.forward(random_ids(5, 7, 30), dtype=dtype)


def bits(model: lapwing.Model, parameter: Parameter) -> dict[str, NDArray[Any]]:
    """What passes read of it."""
    if not parameter.quantized:
        if parameter.role in ("norm", "bias"):
            return {"vector": parameter.vector.view(np.uint32)}
        return {}  # the backend's own; passes compare it
    arrays = model._backend.plane_arrays(parameter.matrix)
    found: dict[str, NDArray[Any]] = {"base": arrays.base, "factors": arrays.factors}
    if parameter.keeps_refine:
        assert arrays.refine is not None
        found["refine"] = arrays.refine
    return {name: array.reshape(-1).view(np.uint8) for name, array in found.items()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "backend"), ON_BACKENDS)
def test_a_store_gives_what_memory_gives(
    name: str, dtype: str, backend: str, models: Models, cache: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("LAPWING_BACKEND", backend)
    directory = models.directory(name)
    with lapwing.load(directory, dtype=dtype, threads=1, store=False) as expected:
        want = answer(expected, dtype)
        loads = LOADS if (cache / "stores").exists() else ("auto", *LOADS)
        for load in loads:
            with lapwing.load(directory, dtype=dtype, threads=1, load="eager") as model:
                has_store = model.load == "eager" and (cache / "stores").exists()
            if not has_store:  # f16 of an f16 file, and the like: read in place
                assert load == "auto"
                assert dtype in ("f16", "bf16")
                break
            with lapwing.load(directory, dtype=dtype, threads=1, load=load) as model:
                assert load in ("auto", model.load)
                assert np.array_equal(answer(model, dtype), want), load
                pairs = zip(expected.parameters, model.parameters, strict=True)
                for ours, theirs in pairs:
                    assert ours.tensor.name == theirs.tensor.name
                    here, there = bits(expected, ours), bits(model, theirs)
                    assert here.keys() == there.keys()
                    for kind, array in here.items():
                        assert np.array_equal(array, there[kind]), (ours.tensor.name, kind)


def test_a_store_of_planes_serves_int4_passes_as_one_of_base_planes(
    models: Models, cache: Path
) -> None:
    directory = models.directory("gpt2/odd")
    answers = []
    for planes in ("both", "base"):
        with lapwing.load(directory, dtype="int4", threads=1, planes=planes) as model:
            answers.append(answer(model, "int4"))
        store_in(cache).unlink()
    assert np.array_equal(*answers)


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.parametrize("name", ["gpt2/odd", "gpt2/untied", "llama/odd", "encoder/dense"])
def test_floats_are_rounded_once(name: str, dtype: str, models: Models, cache: Path) -> None:
    """Matrices to the nearest, ties to even, by NumPy or by hand; norms and biases stay float32."""
    directory = models.directory(name)
    lapwing.load(directory, dtype=dtype, threads=1).close()
    store = StoreFile(store_in(cache))
    original = read_checkpoint(directory)
    folders = [path for path in directory.iterdir() if path.is_dir()]
    for folder in folders:
        inside = read_checkpoint(folder)
        original |= {f"{folder.name}/{name}": tensor for name, tensor in inside.items()}
    assert len(store.contents.table) > 15
    for tensor, entry in store.contents.table.items():
        view, weights = store.view(f"float/{entry.at}"), original[tensor]
        if weights.ndim == 1:
            expected: NDArray[Any] = weights
        elif dtype == "f16":
            expected = weights.astype(np.float16)
        else:
            words = weights.view(np.uint32)
            expected = ((words + 0x7FFF + ((words >> 16) & 1)) >> 16).astype(np.uint16)
        # Conv1D's [K, N] is turned: a token then reads long runs of each output.
        assert (entry.kept == TURNED) == (entry.layout == "kn" and weights.ndim == 2)
        if entry.kept == TURNED:
            expected = expected.T
        assert view.dtype == expected.dtype
        assert np.array_equal(view, expected), tensor
    store.close()


@needs_core
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["gpt2/odd", "gpt2/prime", "llama/odd", "encoder/dense"])
def test_every_backend_writes_the_same_file(
    name: str, dtype: str, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, written = models.directory(name), []
    for backend in ("cpu", "reference"):
        monkeypatch.setenv("LAPWING_BACKEND", backend)
        monkeypatch.setenv("LAPWING_CACHE", str(tmp_path / backend))
        lapwing.load(directory, dtype=dtype, threads=1).close()
        written.append(store_in(tmp_path / backend))
    assert written[0].name == written[1].name
    assert written[0].read_bytes() == written[1].read_bytes()


@needs_core
def test_each_backend_reads_what_the_other_wrote(
    models: Models, cache: Path, monkeypatch: Any
) -> None:
    directory = models.directory("gpt2/odd")
    for writer, reader in (("cpu", "reference"), ("reference", "cpu")):
        monkeypatch.setenv("LAPWING_BACKEND", writer)
        lapwing.load(directory, threads=1).close()
        monkeypatch.setenv("LAPWING_BACKEND", reader)
        with (
            lapwing.load(directory, threads=1, load="mapped") as model,
            lapwing.load(directory, threads=1, store=False) as expected,
        ):
            assert model.backend == reader
            assert np.array_equal(answer(model, "int8"), answer(expected, "int8"))
        store_in(cache).unlink()


# Tensors that are equal are kept once.


def rewritten(directory: Path, **changes: NDArray[Any]) -> Path:
    tensors = {**read_checkpoint(directory), **changes}
    write_safetensors(directory / "model.safetensors", tensors, "F32")
    return directory


def test_equal_tensors_are_kept_once(tmp_path: Path, cache: Path) -> None:
    directory = write_gpt2(tmp_path / "model", seed=1)
    first, second = (f"transformer.h.{i}.mlp.c_fc.weight" for i in range(2))
    rewritten(directory, **{second: read_checkpoint(directory)[first]})
    with lapwing.load(directory, threads=1) as model:
        got = answer(model, "int8")
    with lapwing.load(directory, threads=1, store=False) as model:
        assert np.array_equal(answer(model, "int8"), got)
    store = StoreFile(store_in(cache))
    assert store.contents.table[second].at == first
    assert store.contents.table[second].digest == store.contents.table[first].digest
    assert f"base/{second}" not in store.tensors
    store.close()


def test_a_zero_of_another_sign_is_another_weight(tmp_path: Path, cache: Path) -> None:
    """Equal to NumPy, and not the same bits; of 2048 values, not one that a sample takes."""
    directory = write_gpt2(tmp_path / "model", seed=1, n_embd=512, vocab_size=8, n_positions=8)
    names = [f"transformer.h.{i}.mlp.c_fc.bias" for i in range(2)]
    biases = {name: np.zeros(2048, np.float32) for name in names}
    biases[names[1]][2047] = -0.0
    rewritten(directory, **biases)
    lapwing.load(directory, threads=1).close()
    store = StoreFile(store_in(cache))
    for name, bias in biases.items():
        assert store.view(f"float/{store.contents.table[name].at}").tobytes() == bias.tobytes()
    store.close()


def test_matrices_that_differ_in_rows_of_zeros_are_not_shared(tmp_path: Path, cache: Path) -> None:
    """Their planes are equal, since rows come in groups of eight."""
    made = []
    table = Draw(9).matrix(16, 64, fan_in=64)
    table[15] = 0
    for rows in (15, 16):
        directory = write_gpt2(tmp_path / str(rows), seed=1, vocab_size=rows)
        made.append(rewritten(directory, **{"transformer.wte.weight": table[:rows].copy()}))
    together = lapwing.load_shared(made, threads=1)
    for model, directory in zip(together, made, strict=True):
        with lapwing.load(directory, threads=1, store=False) as alone:
            assert np.array_equal(model.forward([1, 2, 3]), alone.forward([1, 2, 3]))
    wtes = [model.parameters[0] for model in together]
    digests = {p.tensor.entry.digest for p in wtes}  # type: ignore[attr-defined]
    assert len(digests) == 1
    for model in together:
        model.close()


def test_a_directory_may_have_any_name(tmp_path: Path, cache: Path) -> None:
    for name in (b"m\xff\xfe", b"model@v1", b"a b'c\"", "日本".encode(), b"[x]*?", b"x" * 200):
        directory = Path(str(tmp_path)) / name.decode("utf-8", "surrogateescape")
        write_gpt2(directory, seed=1, n_embd=32, n_head=1, n_layer=1)
        with lapwing.load(directory, threads=1) as model:
            want = answer(model, "int8")
        path = store_in(cache)
        shutil.rmtree(directory)
        with lapwing.load(directory, threads=1) as model:
            assert np.array_equal(answer(model, "int8"), want)
        path.unlink()
