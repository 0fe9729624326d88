"""Name → an opened model, and how its weights will come: out of a store, or out of a checkpoint."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lapwing.backends.base import Backend
from lapwing.engine.making import check_whole, find_or_make, needs_store
from lapwing.engine.pack import Progress
from lapwing.errors import RequestError, WeightsError
from lapwing.place import Place
from lapwing.quant.recipe import Recipe, parse_dtype
from lapwing.weights import hub
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.store import shelf
from lapwing.weights.store.checkpoint import StoredCheckpoint, carried_files
from lapwing.weights.store.file import StoreFile, is_store
from lapwing.weights.store.shelf import Stored
from lapwing.weights.store.source import describe

log = logging.getLogger("lapwing.engine.opening")

LoadMode = Literal["mapped", "lazy", "progressive", "eager"]
LOADS = ("auto", "mapped", "lazy", "progressive", "eager")
# Where a reader that goes ahead gains nothing: most is in memory, or there is little to read.
MOSTLY, LITTLE_BYTES = 0.9, 16 << 20


@dataclass(frozen=True)
class Opened:
    """A checkpoint or a store of one, and how its weights are to be read."""

    checkpoint: Checkpoint
    mode: LoadMode
    recipe: Recipe
    name: str | None = None  # of a hub model, whose checkpoint may be gone


@dataclass(frozen=True)
class Wishes:
    """What was asked for. planes: what a store that has to be made keeps."""

    mode: str = "auto"
    store: bool = True
    planes: str = "both"


def open_model(
    name: str | os.PathLike[str],
    revision: str | None,
    recipe: Recipe,
    wishes: Wishes,
    backend: Backend,
    progress: Progress | None = None,
    *,
    auto: bool = False,
) -> Opened:
    """auto: where a store is all there is, any recipe will do, and that of the store is taken.

    Raises ModelNotFoundError, ConfigError, WeightsError, DoesNotFitError, RequestError.
    """
    alone = _store_alone(name, revision, None if auto else recipe)
    if alone is not None:
        return _of_store(alone, _recipe_of(alone) if auto else recipe, wishes, None)
    directory = hub.locate(name, revision)
    if not wishes.store or not needs_store(directory, recipe):
        return _without_store(directory, recipe, wishes)
    try:
        source = describe(directory)
    except OSError as error:
        raise WeightsError(f"{directory}: cannot be read ({error.strerror or error}).") from None
    store = find_or_make(directory, source, recipe, wishes.planes, backend, progress)
    if store is None:
        return Opened(Checkpoint(directory), "lazy" if wishes.mode == "lazy" else "eager", recipe)
    return _of_store(store, recipe, wishes, directory)


def _without_store(directory: Path, recipe: Recipe, wishes: Wishes) -> Opened:
    if wishes.mode in ("mapped", "progressive") and recipe.quantized:
        raise RequestError(
            f"load: {wishes.mode!r} reads the weights as a store keeps them, and store=False wants "
            "none. Use 'eager' or 'lazy'."
        )
    mode: LoadMode = "eager" if wishes.mode == "auto" else wishes.mode  # type: ignore[assignment]
    return Opened(Checkpoint(directory), mode, recipe)


def _of_store(store: StoreFile, recipe: Recipe, wishes: Wishes, directory: Path | None) -> Opened:
    """directory: of its checkpoint, if that is there."""
    try:
        _refuse_unfit(store, recipe)
        mode = _mode(store, recipe, wishes.mode)
        if shelf.needs_check(store) and mode != "eager":
            check_whole(store)
        access = {"eager": "owned", "progressive": "streamed"}.get(mode, "mapped")
        checkpoint = StoredCheckpoint(store, access, directory)  # type: ignore[arg-type]
        return Opened(checkpoint, mode, recipe, checkpoint.origin.name)
    except BaseException:
        store.close()
        raise


def _refuse_unfit(store: StoreFile, recipe: Recipe) -> None:
    """Raises RequestError for a store that does not hold what the recipe reads."""
    scheme = store.contents.scheme
    if scheme != recipe.scheme:
        serves = "int4" if shelf.planes_of(store) == "base" else "int8, or int4"
        raise RequestError(
            f"dtype: {store.path} is a store of {scheme}; got {recipe.dtype}. Ask for "
            f"{serves if scheme == 'planes' else scheme}."
        )
    if recipe.refine_linears and shelf.planes_of(store) == "base":
        raise RequestError(f"dtype: {store.path} keeps base planes only; got int8. Ask for int4.")


def _recipe_of(store: StoreFile) -> Recipe:
    """What a store serves best."""
    dtype = {"both": "int8", "base": "int4"}.get(shelf.planes_of(store) or "")
    return Recipe(parse_dtype(dtype or store.contents.scheme))


def _mode(store: StoreFile, recipe: Recipe, wanted: str) -> LoadMode:
    if wanted != "auto":
        return wanted  # type: ignore[return-value]  # LOADS was checked
    areas = ("base", "refine") if recipe.refine_linears else ("base",)
    spans = [store.area_span(area) for area in areas]
    if sum(end - begin for begin, end in spans) < LITTLE_BYTES:
        return "mapped"
    here = all(store.cached_fraction(area) >= MOSTLY for area in areas)
    return "mapped" if here else "progressive"


def _store_alone(
    name: str | os.PathLike[str], revision: str | None, recipe: Recipe | None
) -> StoreFile | None:
    """The store that a model runs from where no checkpoint is: named by its file, or found.

    recipe: that it has to serve; None for any, one of planes before others.
    """
    path = hub.expand(os.fspath(name))
    if is_store(path):
        return StoreFile(path)
    if hub.find_here(name, revision) is not None:
        return None
    return _find_alone(os.fspath(name), revision, recipe)


def open_unread(
    name: str | os.PathLike[str], revision: str | None, recipe: Recipe, *, auto: bool = False
) -> tuple[Checkpoint, Recipe]:
    """A model's checkpoint, or its store where that is all there is, to look at.

    auto and what it raises: see `open_model`.
    """
    store = _store_alone(name, revision, None if auto else recipe)
    if store is None:
        return Checkpoint(hub.locate(name, revision)), recipe
    try:
        chosen = _recipe_of(store) if auto else recipe
        _refuse_unfit(store, chosen)
        return StoredCheckpoint(store), chosen
    except BaseException:
        store.close()
        raise


def find_small_files(
    name: str | os.PathLike[str], revision: str | None = None, *, progress: bool = True
) -> Place:
    """Where a model's configuration, tokenizer and templates are: its directory, or its store.

    progress: of a download. Raises what `open_model` raises.
    """
    path = hub.expand(os.fspath(name))
    if not is_store(path):
        if hub.find_here(name, revision) is not None or not (
            alone := _stores_alone(os.fspath(name), revision)
        ):
            return hub.locate(name, revision, progress=progress)
        path = alone[0].path
    store = StoreFile(path)
    try:
        return carried_files(store)
    finally:
        store.close()


def _find_alone(name: str, revision: str | None, recipe: Recipe | None) -> StoreFile | None:
    """The store of a checkpoint that is not here any more.

    Raises RequestError where it cannot serve the recipe: what was given up is not fetched unasked.
    """
    stores = sorted(_stores_alone(name, revision), key=lambda each: each.scheme != "planes")
    fit = [each for each in stores if recipe is None or each.scheme == recipe.scheme]
    if stores and recipe is not None and not fit:
        serves = ", ".join("int8, int4" if s.scheme == "planes" else str(s.scheme) for s in stores)
        raise RequestError(
            f"dtype: {name} is here as a store alone, which serves {serves}; got {recipe.dtype}. "
            f"Fetch the checkpoint again for that: lapwing pull {name}"
        )
    if not fit:
        return None
    log.info("%s: running from %s; the checkpoint is not here", name, fit[0].path)
    return StoreFile(fit[0].path)


def _stores_alone(name: str, revision: str | None) -> list[Stored]:
    """Of a checkpoint that is not here any more, the newest first."""
    repo_id, _, named = name.partition("@")
    wanted = revision or named or hub.DEFAULT_REVISION
    stores = shelf.stores_of(name, wanted) or shelf.stores_of(repo_id, wanted)
    found = [each for each in stores if each.state == "alone"]
    return sorted(found, key=lambda each: each.path.stat().st_mtime_ns, reverse=True)
