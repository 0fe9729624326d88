"""Weights bound to a model: all at once, or as a reader brings them in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lapwing.layers.parameter import Parameter
from lapwing.quant.recipe import Recipe
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.store.checkpoint import StoredCheckpoint, StoredTensor
from lapwing.weights.store.reader import ReadAt, ReadEvent, StreamReader

Progress = Callable[[int, int], None]


class Loading:
    """A progressive load that is under way: `model.loading`."""

    def __init__(self, reader: StreamReader, refine: Sequence[str], rising: bool) -> None:
        """refine: planes that int8 passes wait for where precision rises."""
        self._reader, self._refine, self._rising = reader, refine, rising
        self._risen = not rising

    @property
    def done_bytes(self) -> int:
        """Read so far."""
        return self._reader.done_bytes

    @property
    def total_bytes(self) -> int:
        """To be read in all."""
        return self._reader.total_bytes

    @property
    def finished(self) -> bool:
        """Whether everything has been read and found whole."""
        return self._reader.finished

    @property
    def took_s(self) -> float | None:
        """From the first byte to the last; None before that."""
        return self._reader.took_s

    @property
    def events(self) -> list[ReadEvent]:
        """What was read, and what was asked for, in this order."""
        return list(self._reader.events)

    def wait(self) -> None:
        """Until everything has been read. Raises WeightsError where the store is damaged."""
        self._reader.finish()

    @property
    def rising(self) -> bool:
        """Whether passes that name no precision are int4's for now."""
        return not self._risen

    def precision(self, wanted: str) -> str:
        """What a pass that may rise reads now: `int4` until every refine plane is there."""
        if not self._risen:
            self._risen = self._reader.has(self._refine)
        return wanted if self._risen else "int4"

    def check(self) -> None:
        """Raises WeightsError for what the reader has found wrong so far."""
        self._reader.has(())

    def stop(self) -> None:
        """Reads no further."""
        self._reader.stop()


def bind_all(parameters: Sequence[Parameter], progress: Progress | None) -> None:
    """Each parameter in the order of use."""
    total, done = sum(parameter.tensor.nbytes for parameter in parameters), 0
    for parameter in parameters:
        parameter.load()
        done += parameter.tensor.nbytes
        if progress is not None:
            progress(done, total)


def stream_in(
    checkpoint: Checkpoint,
    parameters: Sequence[Parameter],
    recipe: Recipe,
    rising: bool,
    progress: Progress | None = None,
    read_at: ReadAt | None = None,
) -> Loading:
    """Starts a reader over a store; parameters are bound as passes ask for them.

    int8 that does not rise reads both planes of a matrix together; else base planes come first, and
    the rows of an embedding's refine plane that are looked up come through the mapping.
    """
    if not isinstance(checkpoint, StoredCheckpoint):
        raise TypeError("only a store is streamed")
    tensors = [p.tensor for p in parameters if isinstance(p.tensor, StoredTensor)]
    seen: set[str] = set()
    first: list[str] = []
    second: list[str] = []
    for tensor in tensors:
        for piece in tensor.pieces:
            if piece in seen:
                continue
            seen.add(piece)
            refine = piece.startswith("refine/")
            together = recipe.refine_linears and not rising
            if not refine or together:
                first.append(piece)
            elif recipe.refine_linears or tensor.entry.lookup:
                second.append(piece)
    store = checkpoint.store
    first.sort(key=lambda piece: store.area_of(piece) != "vectors")  # small, and in one place
    reader = StreamReader(checkpoint.store, first + second, on_progress=progress, read_at=read_at)
    linears = [p for p in second if p.startswith("refine/")]
    checkpoint.gate = _Gate(reader, set(second))
    for folder in checkpoint.folders:
        folder.gate = checkpoint.gate
    return Loading(reader, linears, rising)


class _Gate:
    """Where passes wait for the reader; for planes that may come later, they do not."""

    def __init__(self, reader: StreamReader, later: set[str]) -> None:
        self._reader, self._later = reader, later

    def wait(self, name: str) -> None:
        """See Gate."""
        if name not in self._later:
            self._reader.wait(name)
