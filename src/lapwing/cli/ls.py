"""`lapwing ls`: the models that are here, and the stores that were made of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lapwing.cli import options
from lapwing.cli.terminal import print_json, table
from lapwing.units import format_bytes

if TYPE_CHECKING:
    from lapwing.weights.store.shelf import Stored


@dataclass(frozen=True)
class StoreRow:
    """A store: planes are both, or base; state is fresh, alone, stale or damaged."""

    path: Path
    bytes: int
    scheme: str | None
    planes: str | None
    state: str


@dataclass(frozen=True)
class Row:
    """One revision of one model on this machine; of some, only stores are here."""

    name: str
    revision: str  # branches and tags, else the commit; "bundled"
    commit: str | None
    model_type: str | None
    runs: bool  # this version knows its family
    size_bytes: int  # of the source
    directory: Path | None
    stores: tuple[StoreRow, ...] = ()

    @property
    def store_bytes(self) -> int:
        """Of all its stores."""
        return sum(store.bytes for store in self.stores)


def command(json: options.Json = False) -> None:
    """List the models on this machine.

    Those that come with lapwing, those in the hub's cache, whoever fetched them, and all that were
    loaded: size is the checkpoint's, store what was made of it. A store without its checkpoint is
    alone, one whose checkpoint has changed is stale.
    """
    rows = _with_stores([*_bundled(), *_cached()])
    if json:
        print_json([{**asdict(row), "store_bytes": row.store_bytes} for row in rows])
        return
    cells = [
        (
            row.name,
            row.revision,
            row.model_type or "–",
            "yes" if row.runs else "no",
            format_bytes(row.size_bytes) if row.size_bytes else "–",
            format_bytes(row.store_bytes) if row.stores else "–",
            ", ".join(sorted({store.state for store in row.stores})),
        )
        for row in rows
    ]
    header = ("model", "revision", "type", "runs", "size", "store", "state")
    print(table(header, cells, right="size,store"))


def _bundled() -> list[Row]:
    from lapwing.models.registry import FAMILIES
    from lapwing.weights.checkpoint import Checkpoint
    from lapwing.weights.hub import bundled_models

    rows = []
    for name, directory in bundled_models().items():
        size = sum(path.stat().st_size for path in directory.iterdir() if path.is_file())
        with Checkpoint(directory) as checkpoint:
            model_type = checkpoint.config.get("model_type")
        rows.append(Row(name, "bundled", None, model_type, model_type in FAMILIES, size, directory))
    return rows


def _cached() -> list[Row]:
    from lapwing.models.registry import FAMILIES
    from lapwing.weights.cache import cached_models

    return [
        Row(
            name=model.name,
            revision=" ".join(revision.refs) or revision.commit[:12],
            commit=revision.commit,
            model_type=model.model_type,
            runs=model.model_type in FAMILIES,
            size_bytes=revision.size_bytes,
            directory=revision.directory,
        )
        for model in cached_models()
        for revision in model.revisions
    ]


def _with_stores(rows: list[Row]) -> list[Row]:
    """Each with its stores; behind them those of directories, and those without a checkpoint."""
    from lapwing.weights.store.shelf import stores

    by_directory = {str(row.directory and row.directory.resolve()): row for row in rows}
    for stored in stores():
        key = str(stored.path) if stored.source is None else stored.source.directory
        row = by_directory.get(key) or _of_store(stored)
        one = StoreRow(stored.path, stored.nbytes, stored.scheme, stored.planes, stored.state)
        by_directory[key] = replace(row, stores=(*row.stores, one))
    return list(by_directory.values())


def _of_store(stored: Stored) -> Row:
    from lapwing.models.registry import FAMILIES

    source = stored.source
    if source is None:
        return Row(stored.path.name, "–", None, None, False, 0, None)
    here = stored.state != "alone"
    return Row(
        name=source.title,
        revision=" ".join(source.refs) or (source.commit or "–")[:12],
        commit=source.commit,
        model_type=stored.model_type,
        runs=stored.model_type in FAMILIES,
        size_bytes=source.nbytes if here else 0,
        directory=Path(source.directory) if here else None,
    )
