"""`lapwing pull`: fetch a model from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lapwing.cli import options
from lapwing.cli.terminal import print_json, say, table
from lapwing.errors import RequestError
from lapwing.units import format_bytes

if TYPE_CHECKING:
    from lapwing.weights.hub import DownloadPlan


def command(name: options.HubName, json: options.Json = False) -> None:
    """Fetch a model into the hub's cache.

    Shows the files and their sizes first. Files that are there are not fetched again; one that
    broke off goes on where it stopped.
    """
    from lapwing.weights import hub

    refuse_local(name, "there is nothing to fetch")
    plan = hub.plan_download(*hub.parse_hub_name(name))
    if not json:
        _print_plan(plan)
    directory = hub.download(plan, progress=not json)
    if json:
        print_json(
            {
                "model": plan.repo_id,
                "revision": plan.revision,
                "commit": plan.commit,
                "files": plan.files,
                "total_bytes": plan.total_bytes,
                "fetched_bytes": plan.remaining_bytes,
                "directory": directory,
            }
        )
        return
    say(f"{name} is in {directory}")
    _warn_of_family(directory)


def _warn_of_family(directory: Path) -> None:
    from lapwing.errors import ConfigError
    from lapwing.models.registry import FAMILIES
    from lapwing.weights.files import CONFIG
    from lapwing.weights.jsonfile import read_json_object

    model_type = read_json_object(directory / CONFIG, ConfigError).get("model_type")
    if model_type not in FAMILIES:
        say(f"this version runs {', '.join(FAMILIES)}, not {model_type!r}", "warning")


def refuse_local(name: str, consequence: str) -> None:
    """Raises RequestError for a directory and for a bundled model."""
    from lapwing.weights.hub import bundled_models

    if Path(name).is_dir():
        raise RequestError(f"{name} is a directory on this machine; {consequence}.")
    if name in bundled_models():
        raise RequestError(f"{name} is part of lapwing; {consequence}.")


def _print_plan(plan: DownloadPlan) -> None:
    rows = [(f.name, format_bytes(f.size_bytes), "here" if f.cached else "") for f in plan.files]
    print(table(("file", "size", ""), rows, right="size"))
    commit = "" if plan.revision == plan.commit else f" ({plan.commit[:12]})"
    what = f"{plan.repo_id}@{plan.revision}{commit}: {format_bytes(plan.total_bytes)}"
    if plan.remaining_bytes:
        print(f"{what}, {format_bytes(plan.remaining_bytes)} to fetch")
        print(_room(plan), flush=True)
    else:
        print(f"{what}, all of it here", flush=True)


def _room(plan: DownloadPlan) -> str:
    """`'24.1 GiB free on the disk of …'`: of the hub's cache, which need not be there yet."""
    from lapwing.weights.hub import free_disk

    disk = free_disk(plan)
    return (
        "room on the disk: unknown"
        if disk is None
        else (f"{format_bytes(disk[1])} free on the disk of {disk[0]}")
    )
