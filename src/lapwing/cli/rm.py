"""`lapwing rm`: delete a model from the hub's cache."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lapwing.cli import options
from lapwing.cli.pull import refuse_local
from lapwing.cli.terminal import print_json, say
from lapwing.errors import RequestError
from lapwing.units import format_bytes

if TYPE_CHECKING:
    from lapwing.weights.cache import CachedModel


def command(
    name: options.HubName,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    json: options.Json = False,
) -> None:
    """Delete a model from the hub's cache.

    With @REV (a branch, a tag, or the first digits of a commit) only that revision of it.
    """
    from lapwing.weights import cache, hub

    refuse_local(name, "rm deletes from the hub's cache only")
    repo_id, _ = hub.parse_hub_name(name)
    revision = name.partition("@")[2] or None
    known = {model.name: model for model in cache.cached_models()}
    if repo_id in known and not (yes or _agreed(name, known[repo_id])):
        say("nothing was deleted")
        return
    freed = cache.delete_cached(repo_id, revision)
    if json:
        print_json({"model": repo_id, "revision": revision, "freed_bytes": freed})
    else:
        print(f"{name}: freed {format_bytes(freed)}")


def _agreed(name: str, model: CachedModel) -> bool:
    """Asks on a terminal; raises RequestError where there is nobody to ask."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RequestError(f"rm {name}: there is no terminal to ask on; pass --yes.")
    commits = ", ".join(" ".join((*r.refs, r.commit[:12])) for r in model.revisions)
    say(f"{model.name}: {format_bytes(model.size_bytes)} in the cache ({commits})")
    return typer.confirm(f"Delete {name}?", err=True)
