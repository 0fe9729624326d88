"""Name or path → Model: find, check, build, then read weights one by one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lapwing import backends
from lapwing.engine.causal import CausalModel
from lapwing.engine.encoder import EncoderModel
from lapwing.engine.model import Loaded, Model
from lapwing.engine.request import canonical
from lapwing.errors import BackendError, RequestError
from lapwing.layers.ops import Ops
from lapwing.layers.sharing import SharedWeights
from lapwing.models.base import LanguageModel
from lapwing.models.registry import build
from lapwing.models.sentence import SentenceEncoder
from lapwing.quant.recipe import Recipe, parse_dtype
from lapwing.text.eos import eos_token_ids
from lapwing.text.tokenizer import open_in_background
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.hub import locate

Progress = Callable[[int, int], None]  # (bytes of the checkpoint done, bytes in all)
DEVICES = ("auto", "cpu")
LOADS = ("eager", "lazy")


def load(
    name_or_path: str | os.PathLike[str],
    dtype: object = "auto",
    device: str = "auto",
    threads: int | str = "auto",
    revision: str | None = None,
    *,
    load: str = "eager",
    progress: Progress | None = None,
    **spelled: Any,
) -> Model:
    """Loads a model: a Hugging Face directory, a hub id (`org/name`, `org/name@revision`), `tales`.

    dtype: f32, f16, bf16, int8, int4, or auto (int8). device: cpu, or auto. threads: a number, or
    auto (one a physical core). load: eager reads every weight here; lazy reads each when it is
    first used, so that a bad one is found only then. `torch_dtype` is understood as dtype. Raises
    ModelNotFoundError, ConfigError, WeightsError, DoesNotFitError, BackendError or RequestError.
    """
    return _load(
        name_or_path,
        dtype,
        device,
        threads,
        revision,
        load=load,
        progress=progress,
        shared=None,
        **spelled,
    )


def load_shared(
    names_or_paths: Sequence[str | os.PathLike[str]], dtype: object = "auto", **arguments: Any
) -> list[Model]:
    """Loads several models, with every matrix that they have in common held once.

    Matrices are the same where their stored bytes are, whatever their names: an embedding that a
    fine-tuned model kept, say. Models are closed one by one; what another still uses stays. dtype
    and other arguments are those of `load`. `held_bytes` counts what they take together.
    """
    if isinstance(names_or_paths, (str, os.PathLike)):
        raise RequestError("load_shared: expected several models, got one; put it in a list")
    shared, models = SharedWeights(), list[Model]()
    try:
        for name in names_or_paths:
            models.append(_load(name, dtype, shared=shared, **arguments))
    except BaseException:
        for model in models:
            model.close()
        raise
    return models


def held_bytes(models: Iterable[Model]) -> int:
    """Bytes of the loaded weights of several models, each matrix counted once."""
    seen: dict[int, int] = {}
    for model in models:
        for parameter in model.parameters:
            if parameter.loaded:
                seen[id(parameter.held)] = parameter.held_bytes
    return sum(seen.values())


def _load(
    name_or_path: str | os.PathLike[str],
    dtype: object = "auto",
    device: str = "auto",
    threads: int | str = "auto",
    revision: str | None = None,
    *,
    load: str = "eager",
    progress: Progress | None = None,
    shared: SharedWeights | None,
    **spelled: Any,
) -> Model:
    began_s = time.perf_counter()
    for key, value in canonical(spelled).items():
        if key != "dtype" or dtype != "auto":
            raise RequestError(f"load: unknown or repeated argument {key!r}")
        dtype = value
    recipe = Recipe(parse_dtype(dtype))
    if load not in LOADS:
        raise RequestError(f"load: expected one of {', '.join(LOADS)}; got {load!r}")
    if device not in DEVICES:
        raise BackendError(
            f"device: expected one of {', '.join(DEVICES)}; got {device!r}. Metal and CUDA are not "
            "supported by this version."
        )
    backend = backends.create(threads=threads)
    checkpoint = Checkpoint(locate(name_or_path, revision))
    ops = Ops(backend, recipe, shared)
    try:
        tokenizer = open_in_background(checkpoint.directory)
        network = build(checkpoint, ops)
        eos = eos_token_ids(checkpoint.config, checkpoint.generation_config)
        if load == "eager":
            _load_parameters(ops, progress)
    except BaseException:
        for parameter in ops.parameters:
            parameter.close()
        checkpoint.close()
        raise
    loaded = Loaded(
        checkpoint,
        ops.parameters,
        backend,
        recipe,
        tokenizer,
        requested_dtype=str(dtype),
        load_s=time.perf_counter() - began_s,
    )
    if isinstance(network, SentenceEncoder):
        return EncoderModel(loaded, network.network, network.sentence)
    return CausalModel(loaded, network, eos)


def _load_parameters(ops: Ops, progress: Progress | None) -> None:
    total = sum(parameter.tensor.nbytes for parameter in ops.parameters)
    done = 0
    for parameter in ops.parameters:
        parameter.load()
        done += parameter.tensor.nbytes
        if progress is not None:
            progress(done, total)


def inspect(
    name_or_path: str | os.PathLike[str], dtype: object = "auto", revision: str | None = None
) -> tuple[LanguageModel | SentenceEncoder, Ops, Checkpoint]:
    """A model built and not loaded: what it consists of. The caller closes the checkpoint."""
    ops = Ops(backends.create(), Recipe(parse_dtype(dtype)))
    checkpoint = Checkpoint(locate(name_or_path, revision))
    try:
        return build(checkpoint, ops), ops, checkpoint
    except BaseException:
        checkpoint.close()
        raise
