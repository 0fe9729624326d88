"""Weights bound to a model: all at once, or as a reader brings them in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lapwing.engine.pack import Progress
from lapwing.layers.parameter import Parameter
from lapwing.quant.recipe import Recipe
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.plain_reading import PlainFiles
from lapwing.weights.store.checkpoint import StoredCheckpoint, StoredTensor
from lapwing.weights.store.reader import ReadEvent, StreamReader

STAGES = ("vectors", "layers", "head", "refine", "lookups")  # of a progressive load


class Loading:
    """A progressive load that is under way: `model.loading`."""

    def __init__(
        self,
        reader: StreamReader,
        refine: Sequence[str],
        rising: bool,
        files: PlainFiles | None = None,
    ) -> None:
        """refine: planes that int8 passes wait for where precision rises. files: to be closed."""
        self._reader, self._refine, self._files = reader, refine, files
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
        if self._files is not None:
            self._files.close()


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
) -> Loading:
    """Starts a reader over a store; parameters are bound as passes ask for them.

    The order is that of use: vectors, then layer by layer what passes read of it, then the head.
    Embeddings are looked up through the mapping, a few rows a pass, and read when all else is
    there; a tied one, as the head. Refine planes come with their base planes where int8 waits for
    both, and after everything else where precision rises.
    """
    if not isinstance(checkpoint, StoredCheckpoint):
        return _stream_plain(parameters, progress)
    together = recipe.refine_linears and not rising
    stages: dict[str, list[str]] = {stage: [] for stage in STAGES}
    for parameter in parameters:
        tensor = parameter.tensor
        assert isinstance(tensor, StoredTensor)
        for piece in tensor.pieces:
            refine = piece.startswith("refine/")
            if refine and not parameter.keeps_refine:
                continue
            stages[_stage(parameter, refine_later=refine and not together)].append(piece)
    store = checkpoint.store
    order = list(dict.fromkeys(piece for stage in STAGES for piece in stages[stage]))
    reader = StreamReader(store, order, on_progress=progress)
    later = {piece for stage in ("head", "refine", "lookups") for piece in stages[stage]}
    heads = [parameter for parameter in parameters if parameter.role in ("head", "tied")]
    for parameter in heads:
        waits = [p for p in parameter.tensor.pieces if p in stages["head"]]  # type: ignore[attr-defined]
        parameter.arrival = partial(_wait_for, reader, waits)
    checkpoint.gate = _Gate(reader, later)
    for folder in checkpoint.folders:
        folder.gate = checkpoint.gate
    return Loading(reader, stages["refine"], rising)


def _stream_plain(parameters: Sequence[Parameter], progress: Progress | None) -> Loading:
    """Floats that are read in place: from the checkpoint's own files, in the order of use."""
    files = PlainFiles([parameter.tensor for parameter in parameters])
    pieces = [str(at) for at in range(len(parameters))]
    reader = StreamReader(files, pieces, on_progress=progress)
    for piece, parameter in zip(pieces, parameters, strict=True):
        parameter.arrival = partial(_wait_for, reader, [piece])
    return Loading(reader, [], rising=False, files=files)


def _stage(parameter: Parameter, *, refine_later: bool) -> str:
    if parameter.role in ("norm", "bias"):
        return "vectors"
    if parameter.role == "embedding":
        return "lookups"
    if refine_later:
        return "refine" if parameter.recipe.refine_linears else "lookups"
    return "head" if parameter.role in ("head", "tied") else "layers"


def _wait_for(reader: StreamReader, pieces: Sequence[str]) -> None:
    for piece in pieces:
        reader.wait(piece)


class _Gate:
    """Where passes wait for the reader; for planes that may come later, they do not."""

    def __init__(self, reader: StreamReader, later: set[str]) -> None:
        self._reader, self._later = reader, later

    def wait(self, name: str) -> None:
        """See Gate."""
        if name not in self._later:
            self._reader.wait(name)
