"""`lapwing verify`: read stores through, and check every byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lapwing.cli import options
from lapwing.cli.progress import LoadingBar
from lapwing.cli.terminal import print_json, say
from lapwing.errors import WeightsError

if TYPE_CHECKING:
    from lapwing.weights.store.upkeep import Proof

SAID = {
    "alone": "whole; its checkpoint is not here, and it runs alone",
    "stale": "stale: whole, but its checkpoint has changed; the next load makes it anew",
}


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE",
            help="Of one model, or one file.  [default: all stores]",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Check stores against their checksums.

    Reads all of them. Exit code 4 if any is damaged.
    """
    from lapwing.weights.store.upkeep import verify

    proofs = []
    with LoadingBar("verifying", wanted=not json) as bar:
        for proof in verify(name, bar):  # at the end of a store the bar is gone
            proofs.append(proof)
            if not json:
                print(_line(proof), flush=True)
    if json:
        print_json([_report(proof) for proof in proofs])
    elif not proofs:
        say("there are no stores")
    damaged = [proof for proof in proofs if not proof.whole]
    if damaged:
        raise WeightsError("\n".join(map(_advice, damaged)))


def _line(proof: Proof) -> str:
    stored = proof.stored
    said = proof.verdict if not proof.whole else SAID.get(stored.state, "whole")
    return f"{stored.path.name}: {said}"


def _advice(proof: Proof) -> str:
    path = proof.stored.path
    what = proof.names or "its header"
    return (
        f"{path}: damaged: {what}. Remove it (lapwing rm {path.name} --store); the next load makes "
        "it anew from the checkpoint."
    )


def _report(proof: Proof) -> dict[str, object]:
    stored = proof.stored
    return {
        "path": stored.path,
        "model": stored.source and stored.source.title,
        "bytes": stored.nbytes,
        "scheme": stored.scheme,
        "planes": stored.planes,
        "state": stored.state,
        "whole": proof.whole,
        "damaged": proof.damaged,
        "reason": stored.reason,
    }
