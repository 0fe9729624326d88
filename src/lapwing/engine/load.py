"""Name or path → Model: find, check, build, then read weights one by one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from lapwing import backends
from lapwing.engine.causal import CausalModel
from lapwing.engine.encoder import EncoderModel
from lapwing.engine.loading import Loading, bind_all, stream_in
from lapwing.engine.making import PLANES
from lapwing.engine.model import Loaded, Model
from lapwing.engine.opening import LOADS, Wishes, open_model, open_unread
from lapwing.engine.pack import Progress
from lapwing.engine.request import canonical
from lapwing.engine.threads import create_backend, knee_threads
from lapwing.errors import BackendError, ConfigError, RequestError
from lapwing.layers.ops import Ops
from lapwing.layers.sharing import SharedWeights
from lapwing.models.base import LanguageModel
from lapwing.models.registry import build
from lapwing.models.sentence import SentenceEncoder
from lapwing.power.pacing.pacer import Pacer
from lapwing.power.pacing.wishes import settings_of
from lapwing.quant.recipe import Recipe
from lapwing.text.eos import eos_token_ids
from lapwing.text.tokenizer import OpenedWhenNeeded, open_in_background
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.plan import recipe_of

DEVICES = ("auto", "cpu")


def load(
    name_or_path: str | os.PathLike[str],
    dtype: object = "auto",
    device: str = "auto",
    threads: int | str = "auto",
    revision: str | None = None,
    *,
    load: str = "auto",
    store: bool = True,
    planes: str = "both",
    rising: bool = False,
    on_progress: Progress | None = None,
    shared: SharedWeights | None = None,
    profile: str | None = None,
    power: float = 100,
    max_temp: float | None = None,
    max_watts: float | None = None,
    energy_budget: float | None = None,
    battery_floor: float | None = None,
    switch_precision: str = "request",
    **spelled: Any,
) -> Model:
    """Loads a model: a Hugging Face directory, a hub id (`org/name`, `org/name@revision`), `tales`.

    dtype: f32, f16, bf16, int8, int4, or auto: int8, or what a store serves whose checkpoint is
    not here; a Plan, or the path of one (`.json`), says which matrices are int4 and which int8.
    device: cpu, or auto. threads: a number; auto: as many as are best here, for decode
    and prefill apart (measured once, half a second); or measure: so, anew. `torch_dtype` is
    understood as dtype.

    Weights that have to be converted are, once: into a plane store in the cache folder, which later
    loads map (store=False converts them into memory each time). planes: what a store that has to be
    made keeps; `base` is half of it and serves int4 alone. load:
    - mapped: passes read the store's mapping; nothing is read, or checked, here.
    - lazy: as that, but each weight is bound when it is first used.
    - progressive: a thread reads the store ahead of use and checks it; passes wait for what they
      need. rising: until all refine planes are there, passes that name no dtype are int4's.
    - eager: everything is read and checked here, into memory of its own.
    - auto: mapped where the store is small or in the system's memory, else progressive; without
      one, eager.
    on_progress is called with bytes done and bytes in all, perhaps from that thread. shared: with
    other models, see `load_shared`.

    The rest is for the governor (docs/power.md; `model.governor`). profile: observe, performance,
    balanced, quiet, battery, background, or auto: battery's while on battery; None: LAPWING_PROFILE
    or observe. Limits: power, percent of the time that is worked; max_temp in °C; max_watts;
    energy_budget, joules of a request; battery_floor, percent of the charge. switch_precision:
    where int8 may become int4 by itself, at a request, at a token, or never. Raises
    ModelNotFoundError, ConfigError, WeightsError, DoesNotFitError, BackendError or RequestError.
    """
    began_s = time.perf_counter()
    for key, value in canonical(spelled).items():
        if key != "dtype" or dtype != "auto":
            raise RequestError(f"load: unknown or repeated argument {key!r}")
        dtype = value
    recipe = recipe_of(dtype)
    for what, value, known in (("load", load, LOADS), ("planes", planes, PLANES)):
        if value not in known:
            raise RequestError(f"{what}: expected one of {', '.join(known)}; got {value!r}")
    if device not in DEVICES:
        raise BackendError(
            f"device: expected one of {', '.join(DEVICES)}; got {device!r}. Metal and CUDA are not "
            "supported by this version."
        )
    if rising and (recipe.precision != "int8" or planes != "both"):
        raise RequestError("rising: goes from int4 to int8, so it needs dtype int8 and both planes")
    if rising and load not in ("auto", "progressive"):
        raise RequestError(f"rising: happens in a progressive load (or auto); got load {load!r}")
    settings = settings_of(
        profile,
        power=power,
        max_temp=max_temp,
        max_watts=max_watts,
        energy_budget=energy_budget,
        battery_floor=battery_floor,
        switch_precision=switch_precision,
    )
    backend = create_backend(threads)
    wishes = Wishes("progressive" if rising and load == "auto" else load, store, planes)
    if planes == "base" and recipe.refine_linears:
        raise RequestError("planes: base planes serve int4 alone; got dtype int8")
    auto = str(dtype) == "auto" and not rising
    opened = open_model(name_or_path, revision, recipe, wishes, backend, on_progress, auto=auto)
    recipe = opened.recipe
    checkpoint = opened.checkpoint
    ops = Ops(backend, recipe, shared, trusted=opened.mode == "mapped")
    loading: Loading | None = None
    try:
        at_once = opened.mode in ("eager", "progressive")  # beside native work
        opens = open_in_background if at_once else OpenedWhenNeeded
        tokenizer = opens(checkpoint.directory)
        network = build(checkpoint, ops)
        _refuse_unknown(recipe, ops)
        # Encoders compute, where decoders wait for memory, and lose nothing by it that they show
        # (docs/adr/0007).
        backend.narrow_codes = isinstance(network, SentenceEncoder)
        eos = eos_token_ids(checkpoint.config, checkpoint.generation_config)
        if opened.mode == "progressive":
            loading = stream_in(checkpoint, ops.parameters, recipe, rising, on_progress)
        elif opened.mode != "lazy":
            bind_all(ops.parameters, on_progress if opened.mode == "eager" else None)
    except BaseException:
        if loading is not None:
            loading.stop()
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
        load=opened.mode,
        loading=loading,
        pacer=Pacer(settings, model=str(name_or_path), knee=partial(knee_threads, backend)),
    )
    if isinstance(network, SentenceEncoder):
        return EncoderModel(loaded, network.network, network.sentence)
    return CausalModel(loaded, network, eos)


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
            models.append(load(name, dtype, shared=shared, **arguments))
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


def _refuse_unknown(recipe: Recipe, ops: Ops) -> None:
    """Raises ConfigError for a plan that names what this model does not read as planes."""
    known = {p.tensor.name for p in ops.parameters if p.quantized and p.role != "embedding"}
    unknown = sorted(recipe.lowered - known)
    if unknown:
        raise ConfigError(
            f"the plan names {', '.join(map(repr, unknown[:5]))}{' and more' * (len(unknown) > 5)}"
            ", and this model has no such matrices. A plan serves the model it was made for, and "
            "others of the same shape."
        )


def inspect(
    name_or_path: str | os.PathLike[str], dtype: object = "auto", revision: str | None = None
) -> tuple[LanguageModel | SentenceEncoder, Ops, Checkpoint]:
    """A model built and not loaded: what it consists of. The caller closes the checkpoint."""
    wanted, auto = recipe_of(dtype), str(dtype) == "auto"
    checkpoint, recipe = open_unread(name_or_path, revision, wanted, auto=auto)
    ops = Ops(backends.create(), recipe)
    try:
        network = build(checkpoint, ops)
        _refuse_unknown(recipe, ops)
        return network, ops, checkpoint
    except BaseException:
        checkpoint.close()
        raise
