"""What an evaluation was asked for, opened and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lapwing.bench.quality.opened import Opened
from lapwing.bench.quality.pairs import Pair
from lapwing.bench.quality.reference import Facts, digest_of
from lapwing.engine.model import Model
from lapwing.errors import FileError


@dataclass(frozen=True)
class Text:
    """What is read, and what it is called."""

    content: str
    name: str


@dataclass(frozen=True)
class Cut:
    """How much of a text is read, and how: see windows.windows. None: as it suits the model."""

    tokens: int | None = None
    window: int | None = None
    stride: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Request:
    """truth: an opened model, or the file of a reference. save: where to keep the reference."""

    candidates: Sequence[Opened]
    truth: Opened | Path
    text: Text | None
    pairs: Sequence[Pair]
    cut: Cut
    other_checkpoint: bool = False
    save: Path | None = None

    @property
    def file(self) -> Path:
        """The reference, where it is one."""
        assert isinstance(self.truth, Path)
        return self.truth

    @property
    def model(self) -> Opened:
        """The reference, where it is a model."""
        assert isinstance(self.truth, Opened)
        return self.truth

    @property
    def others(self) -> list[Opened]:
        """Candidates that are not the reference itself."""
        if isinstance(self.truth, Path):
            return list(self.candidates)
        own = (self.truth.model, self.truth.precision)
        return [each for each in self.candidates if (each.model, each.precision) != own]

    def label(self, held: Facts | None) -> str:
        """Of the reference. held: what its file says."""
        if held is None:
            return self.model.label
        return f"{held.model} {held.dtype} ({self.file.name})"


def tokenizer_digest(model: Model) -> str:
    """The same for tokenizers that do the same with every text."""
    return digest_of(model.tokenizer.raw.to_str())


def read_text(path: Path) -> str:
    """A UTF-8 file. Raises FileError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise FileError(f"{path}: no such file (looked in {Path.cwd()})") from None
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
