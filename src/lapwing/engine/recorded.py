"""Passes that were recorded once and run again without a model's own code between operations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from lapwing.backends.base import Backend, Floats, Ids, KVStore, RecordedPass

MOST = 8  # of one model: precisions, and frequencies that depend on a sequence's length


class RecordedPasses:
    """Of one model. A key names passes that are the same operations on the same weights."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._held: dict[Hashable, RecordedPass] = {}

    def holds(self, key: Hashable) -> bool:
        """Whether a pass of this key was recorded."""
        return key in self._held

    def again(
        self,
        key: Hashable,
        numbers: Sequence[Sequence[int]] | Sequence[Ids],
        lengths: Sequence[int],
        stores: Sequence[KVStore] = (),
    ) -> Floats | None:
        """Runs the pass of this key for other tokens; None where none was recorded that fits.

        numbers: ids, positions and whatever else it was recorded with, each [T]. Caches are not
        advanced.
        """
        held = self._held.get(key)
        return None if held is None else held.run(numbers, lengths, stores)

    def record(
        self,
        key: Hashable,
        numbers: Sequence[Ids],
        lengths: Sequence[int],
        run: Callable[[], Floats],
    ) -> Floats:
        """Runs a pass by its own code, and keeps what it did, if the backend can."""
        recording = self._backend.record(numbers, lengths)
        if recording is None:
            return run()
        with recording:
            result = run()
        held = recording.finish(result)
        if held is not None:
            others = {k: h for k, h in self._held.items() if k != key}
            while len(others) >= MOST:
                others.pop(next(iter(others)))
            self._held = {**others, key: held}  # replaced whole: other threads read it
        return result

    def forget(self) -> None:
        """Lets go of all of them, and so of the weights that they read."""
        self._held = {}
