"""The checkpoint a store was made from: who it is, and whether it is still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lapwing.weights.files import MODULE_FOLDER, SMALL_FILES

WEIGHTS = (".safetensors", ".safetensors.index.json")
TEMPLATES = "additional_chat_templates"  # a folder of transformers' with more of the small files


@dataclass(frozen=True)
class Source:
    """directory: resolved. name and commit: of a hub model; refs: branches and tags at it then.

    fingerprint: of the names, sizes and times of its files. Any write gives a file a new time of
    change, which no program can set, so that also one of the same size and time of modification,
    or with a time that went back, is another.
    """

    directory: str
    fingerprint: str
    nbytes: int  # of its files
    name: str | None = None
    commit: str | None = None
    refs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What people know it by."""
        return self.name or self.directory

    def to_dict(self) -> dict[str, Any]:
        """For a store's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Source:
        """Raises ValueError for what `to_dict` does not give."""
        try:
            name, commit = values["name"], values["commit"]
            return cls(
                str(values["directory"]),
                str(values["fingerprint"]),
                int(values["nbytes"]),
                None if name is None else str(name),
                None if commit is None else str(commit),
                tuple(map(str, values["refs"])),
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"source: {error}") from None


def describe(directory: Path) -> Source:
    """Of a model directory as it is now. Raises OSError."""
    lines, nbytes = [], 0
    for path in source_files(directory):
        facts = path.stat()
        name = path.relative_to(directory)
        lines.append(f"{name} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}")
        nbytes += facts.st_size
    digest = hashlib.blake2b(os.fsencode("\n".join(lines)), digest_size=16).hexdigest()
    return Source(os.path.realpath(directory), digest, nbytes, *_of_the_hub(directory))


def source_files(directory: Path) -> list[Path]:
    """What a model is read from: weights, and everything small, in a fixed order."""
    found = []
    for path in directory.iterdir():
        if path.name in SMALL_FILES or path.name.endswith(
            (".safetensors", ".safetensors.index.json")
        ):
            found.append(path)
        elif path.name == TEMPLATES:
            found += path.glob("*.jinja")
        elif MODULE_FOLDER.fullmatch(path.name) and path.is_dir():
            found += [each for each in path.iterdir() if each.suffix in (".json", ".safetensors")]
    return sorted(path for path in found if path.is_file())


def small_files(directory: Path) -> list[Path]:
    """Those of them that are no weights: what a store carries, so that it runs alone."""
    return [path for path in source_files(directory) if not path.name.endswith(WEIGHTS)]


def _of_the_hub(directory: Path) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Name, commit and refs of a hub's snapshot: `…/models--org--name/snapshots/COMMIT`."""
    parts = directory.absolute().parts
    if len(parts) < 3 or parts[-2] != "snapshots" or not parts[-3].startswith("models--"):
        return None, None, ()
    name, commit = parts[-3].removeprefix("models--").replace("--", "/"), parts[-1]
    folder = Path(*parts[:-2]) / "refs"
    refs = []
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.is_file() and path.read_text(encoding="ascii", errors="replace").strip() == commit:
            refs.append(str(path.relative_to(folder)))
    return name, commit, tuple(sorted(refs))
