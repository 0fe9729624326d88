"""Name → an opened model, and how its weights will come: out of a store, or out of a checkpoint."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lapwing.backends.base import Backend
from lapwing.engine.pack import pack
from lapwing.errors import DoesNotFitError, ModelNotFoundError, RequestError, WeightsError
from lapwing.quant.convert import FILE_DTYPES, held_by
from lapwing.quant.recipe import Recipe
from lapwing.units import format_bytes
from lapwing.weights import hub
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.files import exists
from lapwing.weights.store import shelf
from lapwing.weights.store.checkpoint import StoredCheckpoint
from lapwing.weights.store.file import StoreFile, is_store
from lapwing.weights.store.source import Source, describe

log = logging.getLogger("lapwing.engine.opening")

Progress = Callable[[int, int], None]
LoadMode = Literal["mapped", "lazy", "progressive", "eager"]
LOADS = ("auto", "mapped", "lazy", "progressive", "eager")
PLANES = ("both", "base")
MOSTLY = 0.9  # of the base area in memory: nothing is gained by a reader that goes ahead


@dataclass(frozen=True)
class Opened:
    """A checkpoint or a store of one, and how its weights are to be read."""

    checkpoint: Checkpoint
    mode: LoadMode
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
) -> Opened:
    """Raises ModelNotFoundError, ConfigError, WeightsError, DoesNotFitError, RequestError."""
    path = Path(name).expanduser()
    if is_store(path):
        return _of_store(StoreFile(path), recipe, wishes, None)
    if hub.find_here(name, revision) is None:
        alone = _find_alone(os.fspath(name), revision, recipe)
        if alone is not None:
            return _of_store(alone, recipe, wishes, None)
    directory = hub.locate(name, revision)
    if not wishes.store or not _needs_store(directory, recipe):
        return _without_store(directory, recipe, wishes)
    try:
        source = describe(directory)
    except OSError as error:
        raise WeightsError(f"{directory}: cannot be read ({error.strerror or error}).") from None
    store = _find_or_make(directory, source, recipe, wishes.planes, backend, progress)
    if store is None:
        return Opened(Checkpoint(directory), "lazy" if wishes.mode == "lazy" else "eager")
    return _of_store(store, recipe, wishes, directory)


def _needs_store(directory: Path, recipe: Recipe) -> bool:
    """Not where every matrix can be read in place."""
    if recipe.quantized:
        return True
    if recipe.dtype == "f32":
        return False
    with Checkpoint(directory) as checkpoint:
        stored = {t.dtype for t in checkpoint.tensors.values() if len(t.shape) == 2}
    return any(
        not held_by(FILE_DTYPES[dtype], recipe.dtype) for dtype in stored if dtype in FILE_DTYPES
    )


def _without_store(directory: Path, recipe: Recipe, wishes: Wishes) -> Opened:
    if wishes.mode == "progressive" or (wishes.mode == "mapped" and recipe.quantized):
        raise RequestError(
            f"load: {wishes.mode!r} reads the weights as a store keeps them, and there is none "
            f"({'store=False' if not wishes.store else recipe.dtype + ' is read in place'}). "
            "Use 'eager', 'lazy'" + ("." if recipe.quantized else " or 'mapped'.")
        )
    mode: LoadMode = "eager"
    if wishes.mode == "lazy":
        mode = "lazy"
    elif wishes.mode == "mapped":
        mode = "mapped"
    return Opened(Checkpoint(directory), mode)


def _of_store(store: StoreFile, recipe: Recipe, wishes: Wishes, directory: Path | None) -> Opened:
    """directory: of its checkpoint, if that is there."""
    try:
        if store.contents.scheme != recipe.scheme:
            raise RequestError(
                f"dtype: {store.path} is a store of {store.contents.scheme}; got {recipe.dtype}"
            )
        if recipe.refine_linears and shelf.planes_of(store) == "base":
            raise RequestError(
                f"dtype: {store.path} keeps base planes only, which serve int4; got int8"
            )
        mode = _mode(store, recipe, wishes.mode)
        if shelf.needs_check(store) and mode != "eager":
            _check(store)
        access = {"eager": "owned", "progressive": "streamed"}.get(mode, "mapped")
        checkpoint = StoredCheckpoint(store, access, directory)  # type: ignore[arg-type]
        return Opened(checkpoint, mode, checkpoint.origin.name)
    except BaseException:
        store.close()
        raise


def _mode(store: StoreFile, recipe: Recipe, wanted: str) -> LoadMode:
    if wanted != "auto":
        return wanted  # type: ignore[return-value]  # LOADS was checked
    areas = ("base", "refine") if recipe.refine_linears else ("base",)
    here = all(store.cached_fraction(area) >= MOSTLY for area in areas)
    return "mapped" if here else "progressive"


def _check(store: StoreFile) -> None:
    """After a start of the system. Raises WeightsError naming what is damaged."""
    damaged = store.damaged()
    if damaged:
        raise WeightsError(
            f"{store.path}: not what was written since the system was started anew: "
            f"{', '.join(map(repr, damaged[:5]))}{' and more' if len(damaged) > 5 else ''}."
        )
    shelf.set_checked(store)


def _find_or_make(
    directory: Path,
    source: Source,
    recipe: Recipe,
    planes: str,
    backend: Backend,
    progress: Progress | None,
) -> StoreFile | None:
    """None where there is no place for a store: said in a warning, and the model runs without."""
    path = shelf.path_for(source, recipe.scheme)
    if path is None:
        log.warning("no store is kept: there is no home directory; set LAPWING_CACHE to a folder")
        return None
    seen = _identity(path)
    found = _fitting(path, source, recipe)
    if found is not None:
        return found
    try:
        with shelf.only_one(path):
            if _identity(path) != seen:  # another process has made it meanwhile
                found = _fitting(path, source, recipe)
                if found is not None:
                    return found
            made_of = recipe if planes == "both" or not recipe.quantized else Recipe("int4")
            if planes == "both" and recipe.quantized:
                made_of = Recipe("int8")
            pack(directory, source, made_of, path, backend, progress)
        return StoreFile(path)
    except OSError as error:
        log.warning("%s: no store was written: %s", path, _why(path, source, error))
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    """What is another's as soon as another store is in its place."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_ctime_ns


def _fitting(path: Path, source: Source, recipe: Recipe) -> StoreFile | None:
    """The store that is there, if it is of this very checkpoint and has what the recipe reads."""
    if not exists(path):
        return None
    try:
        store = StoreFile(path)
    except WeightsError as error:
        log.warning("%s It is made anew.", error)
        return None
    try:
        same = Source.from_dict(store.contents.source).fingerprint == source.fingerprint
        enough = not recipe.refine_linears or shelf.planes_of(store) == "both"
        if same and enough and shelf.needs_check(store):
            _check(store)
        if same and enough:
            return store
    except (WeightsError, ValueError) as error:
        log.warning("%s It is made anew.", error)
    store.close()
    return None


def _why(path: Path, source: Source, error: OSError) -> str:
    reason = error.strerror or str(error)
    folder = next((each for each in path.parents if exists(each)), path.parent)
    try:
        free = f"; {format_bytes(shutil.disk_usage(folder).free)} are free"
    except OSError:
        free = ""
    return (
        f"{reason}{free}. The model runs from memory, and is converted again at the next start. "
        "Make room, set LAPWING_CACHE to another folder, or pass store=False (--no-store)."
    )


def _find_alone(name: str, revision: str | None, recipe: Recipe) -> StoreFile | None:
    """The store of a checkpoint that is not here any more. Raises RequestError for one that cannot
    serve what is asked."""
    repo_id, _, named = name.partition("@")
    wanted = revision or named or None
    stores = shelf.stores_of(name, wanted) or shelf.stores_of(repo_id, wanted)
    found = [each for each in stores if each.state == "alone"]
    fit = [each for each in found if each.scheme == recipe.scheme]
    for stored in fit:
        log.info("%s: running from %s; the checkpoint is not here", name, stored.path)
        return StoreFile(stored.path)
    return None


def make_store(
    name: str | os.PathLike[str],
    revision: str | None,
    recipe: Recipe,
    planes: str,
    backend: Backend,
    progress: Progress | None = None,
    to: Path | None = None,
) -> Path | None:
    """Makes the store of a model, if it is not there yet → its path; None where none is needed.

    planes: both, or base, which serves int4 and takes half. to: a file of one's own instead of the
    cache. Raises what `open_model` raises, and DoesNotFitError where it cannot be written.
    """
    directory = hub.locate(name, revision)
    if not _needs_store(directory, recipe):
        return None
    source = describe(directory)
    path = to or shelf.path_for(source, recipe.scheme)
    if path is None:
        raise ModelNotFoundError("there is no home directory; set LAPWING_CACHE to a folder")
    made_of = recipe
    if recipe.quantized:
        made_of = Recipe("int8" if planes == "both" else "int4")
    try:
        with shelf.only_one(path):
            found = None if to else _fitting(path, source, made_of)
            if found is not None:
                kept = shelf.planes_of(found)
                found.close()
                if not recipe.quantized or kept == planes:
                    return path
            pack(directory, source, made_of, path, backend, progress)
    except OSError as error:
        raise DoesNotFitError(
            f"{path}: no store was written: {_why(path, source, error)}"
        ) from None
    return path
