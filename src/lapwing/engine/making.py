"""The store of a checkpoint: found where it fits, made where there is none."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from lapwing.backends.base import Backend
from lapwing.engine.pack import Progress, pack
from lapwing.engine.threads import create_backend
from lapwing.errors import (
    DoesNotFitError,
    LapwingError,
    ModelNotFoundError,
    RequestError,
    WeightsError,
)
from lapwing.quant.convert import FILE_DTYPES, held_by
from lapwing.quant.recipe import Recipe, parse_dtype
from lapwing.units import format_bytes
from lapwing.weights import hub
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.files import exists
from lapwing.weights.store import shelf
from lapwing.weights.store.file import StoreFile, advice_on, is_store
from lapwing.weights.store.shelf import Stored
from lapwing.weights.store.source import Source, describe

log = logging.getLogger("lapwing.engine.making")

PLANES = ("both", "base")


def needs_store(directory: Path, recipe: Recipe) -> bool:
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


def find_or_make(
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
            pack(directory, source, _made_of(recipe, planes), path, backend, progress)
        return StoreFile(path)
    except OSError as error:
        log.warning(
            "%s: no store was written: %s, or pass store=False (--no-store). The model runs from "
            "memory, and is converted again at the next start.",
            path,
            _why(path, error),
        )
        return None


def _made_of(recipe: Recipe, planes: str) -> Recipe:
    """What a store is made by that is to serve a recipe."""
    if not recipe.quantized:
        return recipe
    return Recipe("int8" if planes == "both" else "int4")


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
        _say_damaged(path, error)
        return None
    try:
        same = Source.from_dict(store.contents.source).fingerprint == source.fingerprint
        enough = not recipe.refine_linears or shelf.planes_of(store) == "both"
        if same and enough and shelf.needs_check(store):
            check_whole(store)
        if same and enough:
            return store
    except (WeightsError, ValueError) as error:
        _say_damaged(path, error)
    store.close()
    return None


def _say_damaged(path: Path, error: Exception) -> None:
    """In a warning; what to do about it is being done."""
    log.warning("%s It is made anew.", str(error).removesuffix(advice_on(path)).rstrip())


def _why(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    folder = next((each for each in path.parents if exists(each)), path.parent)
    try:
        free = f"; {format_bytes(shutil.disk_usage(folder).free)} are free"
    except OSError:
        free = ""
    return f"{reason}{free}. Make room, or set LAPWING_CACHE to another folder"


def check_whole(store: StoreFile) -> None:
    """After a start of the system. Raises WeightsError naming what is damaged."""
    damaged = store.damaged()
    if damaged:
        raise WeightsError(
            f"{store.path}: not what was written since the system was started anew: "
            f"{', '.join(map(repr, damaged[:5]))}{' and more' if len(damaged) > 5 else ''}."
        )
    shelf.set_checked(store)


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
    if to is None and not needs_store(directory, recipe):
        return None
    try:
        source = describe(directory)
    except OSError as error:
        raise WeightsError(f"{directory}: cannot be read ({error.strerror or error}).") from None
    path = to or shelf.path_for(source, recipe.scheme)
    if path is None:
        raise ModelNotFoundError("there is no home directory; set LAPWING_CACHE to a folder")
    made_of = _made_of(recipe, planes)
    backend = create_backend(threads)
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
