"""`lapwing ls`: the models that are here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lapwing.cli import options
from lapwing.cli.terminal import print_json, table
from lapwing.units import format_bytes


@dataclass(frozen=True)
class Row:
    """One revision of one model on this machine."""

    name: str
    revision: str  # branches and tags, else the commit; "bundled"
    commit: str | None
    model_type: str | None
    runs: bool  # this version knows its family
    size_bytes: int
    directory: Path


def command(json: options.Json = False) -> None:
    """List the models on this machine.

    Those that come with lapwing, and those in the hub's cache, whoever fetched them.
    """
    rows = [*_bundled(), *_cached()]
    if json:
        print_json(rows)
        return
    cells = [
        (
            row.name,
            row.revision,
            row.model_type or "–",
            "yes" if row.runs else "no",
            format_bytes(row.size_bytes),
        )
        for row in rows
    ]
    print(table(("model", "revision", "type", "runs", "size"), cells, right="size"))


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
