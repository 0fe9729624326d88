"""`lapwing rm`: delete a model, or what was made of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lapwing.cli import options
from lapwing.cli.progress import LoadingBar
from lapwing.cli.pull import refuse_local
from lapwing.cli.terminal import print_json, say
from lapwing.errors import RequestError
from lapwing.units import format_bytes

if TYPE_CHECKING:
    from lapwing.weights.store.upkeep import Doomed


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME[@REV]",
            help="A hub id. With --store also a directory, a bundled model, or a store's file.",
            show_default=False,
        ),
    ],
    store: Annotated[
        bool, typer.Option("--store", help="Only its stores; the next load makes them anew.")
    ] = False,
    source: Annotated[
        bool, typer.Option("--source", help="Only the hub's copy; the model runs from its store.")
    ] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    json: options.Json = False,
) -> None:
    """Delete a model from the hub's cache, and its stores.

    With @REV (a branch, a tag, or the first digits of a commit) only that revision of it.
    """
    from lapwing.weights.store import upkeep

    if store and source:
        raise RequestError("--store and --source are given; expected one of them. rm deletes both.")
    if not store:
        hint = f"Its stores: lapwing rm {name} --store"
        refuse_local(name, f"rm deletes from the hub's cache only. {hint}")
    doomed = upkeep.choose(name, "store" if store else "source" if source else "all")
    if not (yes or _agreed(doomed)):
        say("nothing was deleted")
        return
    with LoadingBar("verifying", wanted=not json) as bar:
        freed = upkeep.free(doomed, bar)
    if json:
        print_json(
            {
                "model": doomed.repo_id,
                "revision": doomed.revision,
                "freed_bytes": freed.source_bytes + freed.store_bytes,
                "source_freed_bytes": freed.source_bytes,
                "store_freed_bytes": freed.store_bytes,
            }
        )
        return
    print(f"{name}: freed {format_bytes(freed.source_bytes + freed.store_bytes)}")


def _agreed(doomed: Doomed) -> bool:
    """Asks on a terminal; raises RequestError where there is nobody to ask."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RequestError(f"rm {doomed.name}: there is no terminal to ask on; pass --yes.")
    for copy in doomed.copies:
        at = " ".join((*copy.refs, copy.commit[:12]))
        say(f"{doomed.repo_id}: {format_bytes(copy.size_bytes)} in the hub's cache ({at})")
    for stored in () if doomed.part == "source" else doomed.stores:
        say(f"{stored.path}: {format_bytes(stored.nbytes)}, a store")
    return typer.confirm(f"Delete {doomed.name}?", err=True)
