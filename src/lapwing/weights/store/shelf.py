"""The stores in the cache folder: found by what they were made from, listed, removed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lapwing.errors import ModelNotFoundError, WeightsError
from lapwing.weights import hub
from lapwing.weights.cache import MIN_COMMIT_DIGITS
from lapwing.weights.cache_folder import cache_folder
from lapwing.weights.files import is_dir
from lapwing.weights.store.file import FOLDER, StoreFile
from lapwing.weights.store.source import Source, describe
from lapwing.weights.store.writer import DRAFT

SUFFIX, CHECKED = ".safetensors", ".checked"
# fresh: of the checkpoint as it is. alone: the checkpoint is gone. stale: it has changed.
State = Literal["fresh", "alone", "stale", "damaged"]


@dataclass(frozen=True)
class Stored:
    """A store on the shelf; `damaged` ones have no source.

    source: with the size and the refs it has now, as long as it is there.
    """

    path: Path
    nbytes: int
    state: State
    source: Source | None
    scheme: str | None
    planes: str | None  # both, or base
    model_type: str | None = None
    reason: str | None = None  # why it is damaged


def shelf() -> Path | None:
    """The folder of all stores; None where there is no home for it."""
    folder = cache_folder()
    return None if folder is None else folder / FOLDER


def path_for(source: Source, scheme: str) -> Path | None:
    """Where the store of a source is, or would be."""
    folder = shelf()
    if folder is None:
        return None
    slug = _slug(source.name or Path(source.directory).name)
    return folder / f"{slug}.{_key(source.directory)}.{scheme}{SUFFIX}"


def _slug(title: str) -> str:
    return re.sub(r"[^\w.-]+", "-", title.replace("/", "--"), flags=re.ASCII)[:80] or "model"


def _key(directory: str) -> str:
    return hashlib.blake2b(os.fsencode(directory), digest_size=6).hexdigest()


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Keeps other processes from making the same store; drafts that a dead one left are removed.

    Raises OSError where the folder takes no files.
    """
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        for draft in path.parent.glob(f".{path.name}.*{DRAFT}"):
            draft.unlink(missing_ok=True)
        yield


def planes_of(store: StoreFile) -> str | None:
    """`both` or `base`; None for stores of floats."""
    if store.contents.scheme != "planes":
        return None
    matrices = [e for e in store.contents.table.values() if e.kept == "planes" and not e.lookup]
    whole = all(f"refine/{entry.at}" in store.tensors for entry in matrices)
    return "both" if whole else "base"


def stores() -> list[Stored]:
    """Everything on the shelf, by name."""
    folder = shelf()
    if folder is None or not is_dir(folder):
        return []
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found.append(look(path))
        except OSError:  # removed a moment ago, or not for us
            continue
    return found


def look(path: Path) -> Stored:
    """What a store's file is, its header alone read. Raises FileNotFoundError."""
    nbytes = path.stat().st_size
    try:
        store = StoreFile(path)
    except WeightsError as error:
        return Stored(path, nbytes, "damaged", None, None, None, reason=str(error))
    try:
        source, state = _now(Source.from_dict(store.contents.source))
        return Stored(
            path, nbytes, state, source, store.contents.scheme, planes_of(store), _type(store)
        )
    except ValueError as error:
        return Stored(path, nbytes, "damaged", None, None, None, reason=str(error))
    finally:
        store.close()


def _type(store: StoreFile) -> str | None:
    """Of the model, from the configuration that it carries."""
    try:
        found = json.loads(bytes(store.read("file/config.json"))).get("model_type")
    except (WeightsError, ValueError, AttributeError, OSError):
        return None
    return found if isinstance(found, str) else None


def state_of(source: Source) -> State:
    """Of a store that was made from it."""
    return _now(source)[1]


def _now(source: Source) -> tuple[Source, State]:
    try:
        now = describe(Path(source.directory))
    except OSError:
        return source, "alone"
    if now.nbytes == 0:
        return source, "alone"
    state: State = "fresh" if now.fingerprint == source.fingerprint else "stale"
    return replace(source, nbytes=now.nbytes, refs=now.refs), state


def stores_of(name: str, revision: str | None = None) -> list[Stored]:
    """Of a hub id, a bundled model, a directory (there or not), or the file of a store.

    Damaged ones are known by their file's name alone.
    """
    if "\0" in name:  # no path has one
        return []
    here = hub.find_here(name, revision)
    place = os.path.realpath(hub.expand(name) if here is None else here)

    def meant(stored: Stored) -> bool:
        source, file = stored.source, stored.path.name
        if name == file or place == os.path.realpath(stored.path):
            return True
        if source is None:
            slug, key, *_ = file.rsplit(".", 3)
            return key == _key(place) or (revision is None and slug == _slug(name))
        if source.directory == place:
            return True
        return source.name == name and (revision is None or _is_at(source, revision))

    return [stored for stored in stores() if meant(stored)]


def _is_at(source: Source, revision: str) -> bool:
    commit = source.commit or ""
    digits = len(revision) >= MIN_COMMIT_DIGITS
    return revision in source.refs or (digits and commit.startswith(revision))


def remove(stored: Stored) -> int:
    """Bytes freed. Raises ModelNotFoundError where it cannot be."""
    try:
        stored.path.unlink(missing_ok=True)
        mark(stored.path).unlink(missing_ok=True)
    except OSError as error:
        raise ModelNotFoundError(
            f"{stored.path}: could not be removed ({error.strerror}). Check who owns the cache."
        ) from None
    return stored.nbytes


# Power cuts. What was fsynced is on the disk, says the disk; the first start of the system after a
# store was written does not take its word for it, however the system went down.


def boot_id() -> str | None:
    """Of this start of the system; None where it cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def mark(path: Path) -> Path:
    """Beside a store that has been found whole after a start of the system."""
    return path.with_name(path.name + CHECKED)


def needs_check(store: StoreFile) -> bool:
    """Whether it was written before this start of the system, and not read through since then."""
    written, now = store.contents.boot, boot_id()
    if store.proven or written is None or now is None or written == now:
        return False
    try:
        return mark(store.path).read_text(encoding="ascii") != f"{store.header_crc:08x}"
    except (OSError, ValueError):
        return True


def set_checked(store: StoreFile) -> bool:
    """Notes that it is whole; False where the folder takes no files."""
    try:
        mark(store.path).write_text(f"{store.header_crc:08x}", encoding="ascii")
    except OSError:
        return False
    return True
