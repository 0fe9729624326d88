"""How far an output is: OUT.meta.json beside it, replaced whole each time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lapwing.disk import replace_file
from lapwing.errors import FileError, RequestError
from lapwing.jobs.records import Record
from lapwing.jobs.vectors import Floats

if TYPE_CHECKING:
    from hashlib import _Hash

VERSION = 1


class Stretch(Protocol):
    """Consecutive vectors [n, D]; `start` and `truncated` count texts from the call's first."""

    @property
    def start(self) -> int: ...
    @property
    def vectors(self) -> Floats: ...
    @property
    def token_counts(self) -> Sequence[int]: ...
    @property
    def truncated(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class Done:
    """One state of the work; replaced whole, so that an interruption never leaves half of one.

    first_truncated: index of a text, from 0; first_truncated_line: where it is, from 1.
    """

    rows: int = 0
    output_bytes: int = 0
    tokens: int = 0
    truncated: int = 0
    truncated_to: int | None = None  # tokens
    first_truncated: int | None = None
    first_truncated_line: int | None = None
    texts: TextsHash = field(default_factory=lambda: TextsHash())

    def after(self, stretch: Stretch, records: Sequence[Record], output_bytes: int) -> Done:
        """`stretch`, which are the vectors of `records`, is written."""
        cut = [at - stretch.start for at in stretch.truncated]
        first, line = self.first_truncated, self.first_truncated_line
        if cut and first is None:
            first, line = self.rows + cut[0], records[cut[0]].line
        lengths = [stretch.token_counts[i] for i in cut]
        return Done(
            rows=self.rows + len(records),
            output_bytes=output_bytes,
            tokens=self.tokens + sum(stretch.token_counts),
            truncated=self.truncated + len(cut),
            truncated_to=max([self.truncated_to or 0, *lengths]) or None,
            first_truncated=first,
            first_truncated_line=line,
            texts=self.texts.plus(records),
        )


class TextsHash:
    """SHA-256 over texts in order, each preceded by its length, so that none runs into the next."""

    def __init__(self, hash: _Hash | None = None) -> None:
        self._hash = hash or hashlib.sha256()

    def plus(self, records: Sequence[Record]) -> TextsHash:
        """Of these texts behind the others; this one stays as it is."""
        hash = self._hash.copy()
        for record in records:
            text = record.text.encode("utf-8")
            hash.update(len(text).to_bytes(8, "little"))
            hash.update(text)
        return TextsHash(hash)

    @property
    def hex(self) -> str:
        return self._hash.hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """What was durable: settings, the state without its hash, and the digest of that hash."""

    settings: dict[str, Any]
    done: Done
    texts_sha256: str


def meta_path(output: Path) -> Path:
    """OUT.npy → OUT.npy.meta.json."""
    return output.with_name(output.name + ".meta.json")


def write_checkpoint(output: Path, settings: dict[str, Any], done: Done) -> None:
    """After this, `done` survives whatever happens; what it counts must be durable before."""
    counts = {key: value for key, value in vars(done).items() if key != "texts"}
    value = {
        "version": VERSION,
        "settings": settings,
        "done": {**counts, "texts_sha256": done.texts.hex},
    }
    replace_file(meta_path(output), json.dumps(value, indent=2).encode() + b"\n")


def read_checkpoint(output: Path) -> Checkpoint | None:
    """None where there is none. Raises FileError where it cannot be understood."""
    path = meta_path(output)
    try:
        value = json.loads(path.read_bytes())
        version, settings, counts = value["version"], dict(value["settings"]), dict(value["done"])
        if version != VERSION:
            raise ValueError(f"version {version!r}; this lapwing reads {VERSION}")
        digest = counts.pop("texts_sha256")
        done = Done(**counts)
        if not (isinstance(done.rows, int) and isinstance(done.output_bytes, int)):
            raise ValueError("rows and output_bytes are not whole numbers")
        return Checkpoint(settings, done, digest)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FileError(
            f"{path}: it does not say how far {output.name} is ({error!r}). Start again (--force)."
        ) from None


def check_settings(output: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises RequestError with the first setting that differs; unknown weights fit all."""
    for key in [*now, *(key for key in before if key not in now)]:
        if key == "weights" and None in (before.get(key), now.get(key)):
            continue
        if before.get(key) != now.get(key):
            raise RequestError(
                f"{output} was begun with {key} {before.get(key)!r}, and this is "
                f"{now.get(key)!r}. Go on with the same, or start again (--force)."
            )
