"""Stores proven, and freed; with them, or without, the hub's copies that they were made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lapwing.errors import ModelNotFoundError, WeightsError
from lapwing.weights import cache, hub
from lapwing.weights.cache import CachedRevision
from lapwing.weights.store import shelf
from lapwing.weights.store.file import StoreFile
from lapwing.weights.store.shelf import Stored

Progress = Callable[[int, int], None]
Part = Literal["all", "store", "source"]
NAMED = 5  # damaged tensors in a message


@dataclass(frozen=True)
class Proof:
    """A store whose every byte was read. damaged: tensors that are not what was written."""

    stored: Stored
    damaged: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Header and tensors are what was written, whether or not the source has changed."""
        return self.stored.state != "damaged" and not self.damaged

    @property
    def verdict(self) -> str:
        """`whole`, `stale`, or `damaged: …`."""
        if not self.whole:
            reason = (self.stored.reason or "").removeprefix(f"{self.stored.path}: ")
            return f"damaged: {reason or self.names}"
        return "stale" if self.stored.state == "stale" else "whole"

    @property
    def names(self) -> str:
        """Of damaged tensors, for a message."""
        named = ", ".join(map(repr, self.damaged[:NAMED]))
        more = len(self.damaged) - NAMED
        return f"{named} and {more} more" if more > 0 else named


def prove(path: Path, progress: Progress | None = None) -> Proof:
    """Checks the header and the CRC-32C of every tensor; notes where all are right.

    progress: called with bytes read and bytes in all. Raises FileNotFoundError.
    """
    stored = shelf.look(path)
    if stored.state == "damaged":
        return Proof(stored)
    store = StoreFile(path)
    try:
        damaged = tuple(store.damaged(progress))
        if not damaged:
            shelf.set_checked(store)
        return Proof(stored, damaged)
    finally:
        store.close()


def named_stores(name: str) -> list[Stored]:
    """Stores of `NAME`, `NAME@REV`, a directory, a bundled model, or a store's file on the shelf.

    Raises ModelNotFoundError where there are none.
    """
    found = shelf.stores_of(name) or shelf.stores_of(*_split(name))
    if not found:
        raise ModelNotFoundError(
            f"{name}: there is no store of it. lapwing ls lists them; lapwing pack makes one."
        )
    return found


def verify(name: str | None = None, progress: Progress | None = None) -> Iterator[Proof]:
    """Proofs, one by one: of all stores on the shelf, of a model's, or of a file wherever it is.

    Raises ModelNotFoundError for a model that has none.
    """
    path = None if name is None else hub.expand(name)
    if path is not None and path.is_file():
        yield prove(path, progress)
        return
    for stored in shelf.stores() if name is None else named_stores(name):
        yield prove(stored.path, progress)


@dataclass(frozen=True)
class Doomed:
    """What `free` deletes: copies in the hub's cache, stores; with part "source" copies alone."""

    name: str
    repo_id: str
    revision: str | None
    part: Part
    copies: tuple[CachedRevision, ...]
    stores: tuple[Stored, ...]


@dataclass(frozen=True)
class Freed:
    """Bytes."""

    source_bytes: int
    store_bytes: int


def choose(name: str, part: Part) -> Doomed:
    """What is here of a model, to be freed. Raises ModelNotFoundError where nothing is."""
    repo_id, revision = _split(name)
    if part == "store":
        return Doomed(name, repo_id, revision, part, (), tuple(named_stores(name)))
    stores = tuple(shelf.stores_of(repo_id, revision))
    try:
        copies = tuple(cache.cached_revisions(repo_id, revision))
    except ModelNotFoundError:
        if part == "source" or not stores:
            raise
        copies = ()
    return Doomed(name, repo_id, revision, part, copies, stores)


def free(doomed: Doomed, progress: Progress | None = None) -> Freed:
    """Deletes it. Copies are given up for a store only if that is whole.

    progress: of proving that. Raises WeightsError or ModelNotFoundError where it is not, and
    deletes nothing then; ModelNotFoundError for what cannot be deleted.
    """
    if doomed.part == "source":
        for copy in doomed.copies:
            _need_store(doomed, copy, progress)
    copies = cache.delete_cached(doomed.repo_id, doomed.revision) if doomed.copies else 0
    stores = () if doomed.part == "source" else doomed.stores
    return Freed(copies, sum(map(shelf.remove, stores)))


def _need_store(doomed: Doomed, copy: CachedRevision, progress: Progress | None) -> None:
    """Raises WeightsError or ModelNotFoundError unless a copy's stores can stand in for it."""
    place = os.path.realpath(copy.directory)
    paths = [s.path for s in doomed.stores if s.source is None or s.source.directory == place]
    proofs = [prove(path, progress) for path in paths]
    for proof in proofs:
        if proof.verdict != "whole":
            raise WeightsError(
                f"{doomed.name}: nothing was deleted: {proof.stored.path} is {proof.verdict}. "
                f"Remove it (lapwing rm {doomed.name} --store) and make it anew (lapwing pack "
                f"{doomed.name})."
            )
    if not proofs:
        at = " ".join((*copy.refs, copy.commit[:12]))
        raise ModelNotFoundError(
            f"{doomed.name}: nothing was deleted: there is no store of {at}, so that nothing would "
            f"be left. Make one first: lapwing pack {doomed.repo_id}@{(*copy.refs, copy.commit)[0]}"
        )


def _split(name: str) -> tuple[str, str | None]:
    repo_id, _, revision = name.partition("@")
    return repo_id, revision or None
