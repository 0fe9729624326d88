"""Name → an opened model, and how its weights will come: out of a store, or out of a checkpoint."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lapwing import backends
from lapwing.backends.base import Backend
from lapwing.engine.pack import pack
from lapwing.errors import (
    DoesNotFitError,
    LapwingError,
    ModelNotFoundError,
    RequestError,
    WeightsError,
)
from lapwing.place import Place
from lapwing.quant.convert import FILE_DTYPES, held_by
from lapwing.quant.recipe import Recipe, parse_dtype
from lapwing.units import format_bytes
from lapwing.weights import hub
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.files import exists
from lapwing.weights.store import shelf
from lapwing.weights.store.checkpoint import StoredCheckpoint, carried_files
from lapwing.weights.store.file import StoreFile, is_store
from lapwing.weights.store.shelf import Stored
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
    if not wishes.store or not _needs_store(directory, recipe):
        return _without_store(directory, recipe, wishes)
    try:
        source = describe(directory)
    except OSError as error:
        raise WeightsError(f"{directory}: cannot be read ({error.strerror or error}).") from None
    store = _find_or_make(directory, source, recipe, wishes.planes, backend, progress)
    if store is None:
        return Opened(Checkpoint(directory), "lazy" if wishes.mode == "lazy" else "eager", recipe)
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
            _check(store)
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
        log.warning(
            "%s: no store was written: %s, or pass store=False (--no-store). The model runs from "
            "memory, and is converted again at the next start.",
            path,
            _why(path, error),
        )
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


def _why(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    folder = next((each for each in path.parents if exists(each)), path.parent)
    try:
        free = f"; {format_bytes(shutil.disk_usage(folder).free)} are free"
    except OSError:
        free = ""
    return f"{reason}{free}. Make room, or set LAPWING_CACHE to another folder"


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
    """The store of a checkpoint that is not here any more."""
    stores = sorted(_stores_alone(name, revision), key=lambda each: each.scheme != "planes")
    for stored in stores:
        if recipe is None or stored.scheme == recipe.scheme:
            log.info("%s: running from %s; the checkpoint is not here", name, stored.path)
            return StoreFile(stored.path)
    return None


def _stores_alone(name: str, revision: str | None) -> list[Stored]:
    """Of a checkpoint that is not here any more, the newest first."""
    repo_id, _, named = name.partition("@")
    wanted = revision or named or hub.DEFAULT_REVISION
    stores = shelf.stores_of(name, wanted) or shelf.stores_of(repo_id, wanted)
    found = [each for each in stores if each.state == "alone"]
    return sorted(found, key=lambda each: each.path.stat().st_mtime_ns, reverse=True)


def make_store(
    name: str | os.PathLike[str],
    dtype: object = "auto",
    revision: str | None = None,
    *,
    planes: str = "both",
    to: Path | None = None,
    threads: int | str = "auto",
    progress: Progress | None = None,
) -> Stored | None:
    """Makes the store of a model, if it is not there yet; None where none is needed.

    planes: both, or base, which serves int4 (what auto is then) and takes half. to: a file of one's
    own instead of the cache; it runs alone, and so is made of any dtype. Raises what `open_model`
    raises, and DoesNotFitError where it cannot be written.
    """
    if planes not in PLANES:
        raise RequestError(f"planes: expected one of {', '.join(PLANES)}; got {planes!r}")
    recipe = Recipe("int4" if (str(dtype), planes) == ("auto", "base") else parse_dtype(dtype))
    if planes == "base" and recipe.dtype != "int4":
        raise RequestError(f"planes: base planes serve int4 alone; got dtype {recipe.dtype}")
    if to is not None and to.exists() and not is_store(to):
        raise RequestError(f"{to}: is there, and no store; expected a new file, or one to replace")
    directory = hub.locate(name, revision)
    if to is None and not _needs_store(directory, recipe):
        return None
    try:
        source = describe(directory)
    except OSError as error:
        raise WeightsError(f"{directory}: cannot be read ({error.strerror or error}).") from None
    path = to or shelf.path_for(source, recipe.scheme)
    if path is None:
        raise ModelNotFoundError("there is no home directory; set LAPWING_CACHE to a folder")
    made_of = recipe
    if recipe.quantized:
        made_of = Recipe("int8" if planes == "both" else "int4")
    backend = backends.create(threads=threads)
    try:
        if to is not None:  # nobody else's: no lock is left beside it
            pack(directory, source, made_of, to, backend, progress)
            return shelf.look(to)
        with shelf.only_one(path):
            found = _fitting(path, source, made_of)
            kept = None if found is None else shelf.planes_of(found)
            if found is not None:
                found.close()
            if found is None or (recipe.quantized and kept != planes):
                pack(directory, source, made_of, path, backend, progress)
            return shelf.look(path)
    except LapwingError:  # of a model that is none; some are OSErrors
        raise
    except OSError as error:
        raise DoesNotFitError(f"{path}: no store was written: {_why(path, error)}.") from None
