"""Every text of a file embedded into another, in order; what was interrupted goes on."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from lapwing.errors import FileError, RequestError, WeightsError
from lapwing.jobs.checkpoints import (
    Done,
    Stretch,
    TextsHash,
    check_settings,
    meta_path,
    read_checkpoint,
    write_checkpoint,
)
from lapwing.jobs.files import check_writable
from lapwing.jobs.records import STANDARD_INPUT, Record, Texts
from lapwing.jobs.vectors import (
    Floats,
    JsonlStream,
    VectorWriter,
    check_extension,
    open_writer,
)

CHECKPOINT_EVERY_S = 2.0  # the work a kill may cost; a checkpoint itself takes milliseconds
_HASHED_AT_ONCE = 1024  # texts


class Embedder(Protocol):
    """What a model has to offer."""

    def embed_stream(
        self,
        texts: Iterable[str],
        normalize: bool = True,
        *,
        max_length: int | None = None,
        prompt_name: str | None = None,
    ) -> Iterator[Stretch]:
        """Stretches in the order of the texts; those that are too long are cut."""
        ...


@dataclass(frozen=True)
class EmbedSettings:
    """All that decides the vectors besides the texts.

    weights: what they are by their content; None where that is not known without reading them.
    """

    model: str
    revision: str | None
    dtype: str
    embedding_size: int
    normalize: bool = True
    max_length: int | None = None
    truncate: bool = True
    prompt_name: str | None = None
    weights: str | None = None


@dataclass(frozen=True)
class Progress:
    """Texts embedded in this run; bytes of the input behind them and those skipped."""

    texts: int
    input_bytes: int
    total_bytes: int | None  # None: a pipe


@dataclass(frozen=True)
class EmbedReport:
    """What the output holds now; `skipped_texts` of it were there before.

    embed_s, texts_per_s: of this run, without those skipped. truncated_to: tokens.
    first_truncated: an index, from 0; lines are lines of the input, from 1.
    replaced_characters: U+FFFD for what was no character.
    """

    texts: int
    skipped_texts: int
    tokens: int
    truncated: int
    truncated_to: int | None
    first_truncated: int | None
    first_truncated_line: int | None
    replaced_characters: int
    first_replaced_line: int | None
    embed_s: float
    texts_per_s: float | None
    interrupted: bool


def check_output(output: Path, input: str, *, resume: bool = False, force: bool = False) -> None:
    """All that can be said before a model is loaded. Raises RequestError or FileError.

    input: a path, or "-".
    """
    check_extension(output)
    check_writable(output)
    if resume and force:
        raise RequestError("--resume goes on with the output, --force replaces it: choose one.")
    if not output.exists():
        return
    if input != STANDARD_INPUT and Path(input).exists() and output.samefile(input):
        raise RequestError(f"{output} is the input, too. Give the output another name.")
    if not (resume or force):
        raise RequestError(
            f"{output} exists. --resume goes on with it, --force replaces it with a new one."
        )


def embed_file(
    model: Embedder,
    texts: Texts,
    output: Path | BinaryIO,
    settings: EmbedSettings,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Callable[[Progress], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> EmbedReport:
    """Embeds `texts` into a file (.npy, .jsonl), or as JSON lines into a stream.

    resume: goes on behind what is in the file, where it was made with these settings of these
    texts; where there is no file, it begins. force: a file that is there is replaced, once the
    first vectors are made. Ctrl-C ends it with what is done, and a report that says so. A text that
    cannot be read raises its FileError after those before it are done.
    """
    if isinstance(output, Path):
        check_output(output, texts.name, resume=resume, force=force)
        decisive = {**asdict(settings), "format": texts.format, "column": texts.column}
        target: _Target = _File(output, decisive, resume=resume)
    else:
        target = _Stream(output)
    run = _Run(model, texts, target, settings, progress, clock)
    try:
        return run.run()
    finally:
        target.close()


class _Target(Protocol):
    """Where vectors go; nothing is touched before the first `append` or `checkpoint`."""

    name: str
    start: Done
    digest: str  # of the texts of `start`

    def append(self, vectors: Floats) -> int: ...

    def checkpoint(self, done: Done) -> None: ...

    def close(self) -> None: ...


class _Stream:
    def __init__(self, stream: BinaryIO) -> None:
        self.name, self.start, self.digest = "the output", Done(), TextsHash().hex
        self._writer = JsonlStream(stream)

    def append(self, vectors: Floats) -> int:
        return self._writer.append(vectors)

    def checkpoint(self, done: Done) -> None:
        pass

    def close(self) -> None:
        pass


class _File:
    def __init__(self, path: Path, settings: dict[str, Any], *, resume: bool) -> None:
        self.name, self._path, self._settings = str(path), path, settings
        self.start, self.digest = Done(), TextsHash().hex
        self._writer: VectorWriter | None = None
        if resume:
            self._find_start()

    def _find_start(self) -> None:
        checkpoint = read_checkpoint(self._path)
        if checkpoint is None and self._path.exists():
            raise FileError(
                f"{self._path} exists, and no {meta_path(self._path).name} beside it says how far "
                "it is. --force replaces it."
            )
        if checkpoint is None:
            return
        check_settings(self._path, checkpoint.settings, self._settings)
        if checkpoint.done.rows and not self._path.exists():
            raise FileError(
                f"{self._path} is gone, and {meta_path(self._path).name} says that it has "
                f"{checkpoint.done.rows} rows. --force starts again."
            )
        self.start, self.digest = checkpoint.done, checkpoint.texts_sha256

    def append(self, vectors: Floats) -> int:
        with self._explained():
            return self._opened().append(vectors)

    def checkpoint(self, done: Done) -> None:
        with self._explained():
            self._opened().checkpoint(done.rows, done.output_bytes)
            write_checkpoint(self._path, self._settings, done)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FileError(
                f"{self._path}: cannot be written: {error.strerror or error}. What is in it so far "
                "stays; when that is mended, --resume goes on there."
            ) from error

    def _opened(self) -> VectorWriter:
        if self._writer is None:
            if self.start.rows == 0:
                # Before there is a file: then whatever there is of it can be resumed.
                write_checkpoint(self._path, self._settings, self.start)
            D, start = self._settings["embedding_size"], self.start
            self._writer = open_writer(self._path, D, start.rows, start.output_bytes)
            self._writer.checkpoint(start.rows, start.output_bytes)  # cuts off half a row
        return self._writer


class _Run:
    def __init__(
        self,
        model: Embedder,
        texts: Texts,
        target: _Target,
        settings: EmbedSettings,
        progress: Callable[[Progress], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self._model, self._texts, self._target = model, texts, target
        self._settings, self._progress, self._clock = settings, progress, clock
        self._records = iter(texts)
        self._pending: deque[Record] = deque()  # given to the model, not yet back as vectors
        self._failure: FileError | None = None
        self._done = target.start
        self._saved_s = -CHECKPOINT_EVERY_S

    def run(self) -> EmbedReport:
        skipped_bytes = self._skip()
        began_s = self._clock()
        self._tell(skipped_bytes)
        interrupted = False
        try:
            self._embed()
        except KeyboardInterrupt:
            interrupted = True
            self._keep()
        except BaseException:
            with suppress(FileError):  # of a full disk the first error says enough
                self._keep()
            raise
        return self._report(self._clock() - began_s, interrupted)

    def _skip(self) -> int:
        """Reads over the texts that are done, and makes sure that they are → bytes of input."""
        start = self._done
        hash, count, input_bytes = TextsHash(), 0, 0
        todo = itertools.islice(self._records, start.rows)
        while some := list(itertools.islice(todo, _HASHED_AT_ONCE)):
            hash, count, input_bytes = hash.plus(some), count + len(some), some[-1].end_bytes
        if hash.hex != self._target.digest:
            found = "other ones" if count == start.rows else f"only {count}"
            raise FileError(
                f"{self._texts.name}: {self._target.name} has vectors of its first {start.rows} "
                f"texts, and now there are {found}. Give the same input, or start again (--force)."
            )
        self._done = replace(start, texts=hash)
        return input_bytes

    def _embed(self) -> None:
        wishes = self._settings
        stretches = self._model.embed_stream(
            self._feed(),
            normalize=wishes.normalize,
            max_length=wishes.max_length,
            prompt_name=wishes.prompt_name,
        )
        for stretch in stretches:
            records = [self._pending.popleft() for _ in range(len(stretch.vectors))]
            self._check(stretch, records)
            end = self._target.append(stretch.vectors)
            self._done = self._done.after(stretch, records, end)
            if self._clock() - self._saved_s >= CHECKPOINT_EVERY_S:
                self._save()
            if records:
                self._tell(records[-1].end_bytes)
        if self._failure is None:
            self._save()
            return
        raise FileError(f"{self._failure} {self._what_is_kept()}") from None

    def _feed(self) -> Iterator[str]:
        """Ends early at a text that cannot be read, so that those before it come back."""
        try:
            for record in self._records:
                self._pending.append(record)
                yield record.text
        except FileError as failure:
            self._failure = failure

    def _check(self, stretch: Stretch, records: list[Record]) -> None:
        if stretch.truncated and not self._settings.truncate:
            at = stretch.truncated[0] - stretch.start
            raise RequestError(
                f"{self._texts.name}, line {records[at].line}: the text is longer than the "
                f"{stretch.token_counts[at]} tokens that are read of one. Shorten it, or have it "
                "cut (without --no-truncate)."
            )
        finite = np.isfinite(stretch.vectors).all(axis=1)
        if not finite.all():
            at = int(np.argmin(finite))
            raise WeightsError(
                f"the vector of text {self._done.rows + at} ({self._texts.name}, line "
                f"{records[at].line}) is not finite. Is the weights file damaged?"
            )

    def _save(self) -> None:
        self._target.checkpoint(self._done)
        self._saved_s = self._clock()

    def _keep(self) -> None:
        """What was made in this run, if anything."""
        if self._done.rows > self._target.start.rows:
            self._save()

    def _what_is_kept(self) -> str:
        rows = self._done.rows
        return (
            f"The texts before it, {rows} of them, are in {self._target.name}; when it is mended, "
            "--resume goes on there."
            if rows and isinstance(self._target, _File)
            else f"{rows} texts before it were embedded."
        )

    def _tell(self, input_bytes: int) -> None:
        if self._progress is not None:
            made = self._done.rows - self._target.start.rows
            self._progress(Progress(made, input_bytes, self._texts.total_bytes))

    def _report(self, embed_s: float, interrupted: bool) -> EmbedReport:
        done, skipped = self._done, self._target.start.rows
        made = done.rows - skipped
        return EmbedReport(
            texts=done.rows,
            skipped_texts=skipped,
            tokens=done.tokens,
            truncated=done.truncated,
            truncated_to=done.truncated_to,
            first_truncated=done.first_truncated,
            first_truncated_line=done.first_truncated_line,
            replaced_characters=self._texts.replaced,
            first_replaced_line=self._texts.first_replaced_line,
            embed_s=embed_s,
            texts_per_s=made / embed_s if made and embed_s > 0 else None,
            interrupted=interrupted,
        )
