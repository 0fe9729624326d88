"""A thread that reads a store in the order of use, ahead of it, and proves what it has read."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from lapwing.backends.checksum import crc32c
from lapwing.backends.read_ahead import ReadAhead
from lapwing.errors import LapwingError, RequestError, WeightsError
from lapwing.weights.safetensors import TensorInfo
from lapwing.weights.store.file import CHUNK_BYTES

PATIENCE_S = 0.05  # between two reports of progress

OnRead = Callable[[int, int], None]  # (bytes done, bytes in all)


@dataclass(frozen=True)
class ReadEvent:
    """read: a tensor is in memory and proven. used: a pass has asked for it, and got it."""

    kind: Literal["read", "used"]
    piece: str
    at_s: float  # since the reader began


class Readable(Protocol):
    """Where pieces are read from: a store, or the files of a checkpoint."""

    @property
    def path(self) -> Path:
        """For messages."""
        ...

    def span(self, piece: str, /) -> TensorInfo:
        """Where a piece lies in its file."""
        ...

    def read_piece(self, piece: str, offset: int, buffer: memoryview) -> int:
        """Bytes of the piece's file; 0 at its end. Raises OSError."""
        ...

    def check(self, piece: str, crc: int, /) -> None:
        """Raises WeightsError if that is not the CRC-32C of what was written."""
        ...

    def read_ahead(self, pieces: Sequence[str], /) -> ReadAhead | None:
        """Reads them in a thread of its own; None where this one has to, by `read_piece`."""
        ...

    def close(self) -> None:
        """Of the files, once the reader has ended."""
        ...


class StreamReader:
    """Reads `pieces` one after the other, whatever anybody waits for.

    What is read ends up in the system's page cache, from where the mapping has it.
    """

    def __init__(
        self,
        store: Readable,
        pieces: Sequence[str],
        *,
        on_progress: OnRead | None = None,
    ) -> None:
        self._store, self._pieces = store, list(pieces)
        self._on_progress = on_progress
        self._place = {piece: index for index, piece in enumerate(self._pieces)}
        self.total_bytes = sum(store.span(piece).nbytes for piece in self._pieces)
        self.done_bytes, self._count = 0, 0
        self.events: list[ReadEvent] = []
        self._error: BaseException | None = None
        self._stopped = False
        self._changed = threading.Condition()
        self._began_s = time.perf_counter()
        self.took_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="lapwing-reader", daemon=True)
        # A thread that comes back from native code into an interpreter that has ended aborts it.
        atexit.register(self.stop)
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        return self._count == len(self._pieces)

    def has(self, pieces: Sequence[str]) -> bool:
        """Whether they have been read. Raises what the reader found to be wrong."""
        self._raise()
        return all(self._place.get(piece, -1) < self._count for piece in pieces)

    def wait(self, piece: str) -> None:
        """Until it has been read; at once for what this reader does not read.

        Raises WeightsError where a tensor read so far is not what was written.
        """
        index = self._place.get(piece, -1)
        with self._changed:
            while self._count <= index and self._error is None and not self._stopped:
                self._changed.wait()
        self._raise()
        if self._count <= index:
            raise RequestError("the model was closed while it was being read; load it again")
        self._note("used", piece)

    def finish(self) -> None:
        """Waits until everything has been read."""
        if self._pieces:
            with self._changed:
                while not self.finished and self._error is None and not self._stopped:
                    self._changed.wait()
        self._raise()

    def stop(self) -> None:
        """Ends the thread, and with an error whoever waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            if isinstance(self._error, LapwingError):
                raise type(self._error)(str(self._error))
            raise WeightsError(
                f"{self._store.path}: could not be read ({self._error})."
            ) from self._error

    def _note(self, kind: Literal["read", "used"], piece: str) -> None:
        self.events.append(ReadEvent(kind, piece, time.perf_counter() - self._began_s))

    def _run(self) -> None:
        try:
            ahead = self._store.read_ahead(self._pieces)
            buffer = np.empty(CHUNK_BYTES if ahead is None else 0, np.uint8)
            for index, piece in enumerate(self._pieces):
                if ahead is not None:
                    crc = self._take(ahead, index)
                else:
                    crc = self._read(piece, buffer)
                if crc is None:
                    return
                self._store.check(piece, crc)
                self._note("read", piece)
                with self._changed:
                    self._count += 1
                    self._changed.notify_all()
            self.took_s = time.perf_counter() - self._began_s
        except BaseException as error:  # of the file, or of whoever watches progress
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            atexit.unregister(self.stop)

    def _take(self, ahead: ReadAhead, index: int) -> int | None:
        """CRC-32C of a piece that another thread reads; None where this one was stopped."""
        while True:
            result = ahead.wait(index, PATIENCE_S)
            self._tell(ahead.done_bytes)
            if self._stopped:
                ahead.stop()
                return None
            if result is not None:
                _, crc, error = result
                if error:
                    raise OSError(error, os.strerror(error))
                return crc

    def _tell(self, done_bytes: int) -> None:
        if done_bytes > self.done_bytes:
            self.done_bytes = done_bytes
            if self._on_progress is not None:
                self._on_progress(done_bytes, self.total_bytes)

    def _read(self, piece: str, buffer: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> int | None:
        """CRC-32C of a piece; None where this was stopped on the way."""
        info = self._store.span(piece)
        at, crc = info.begin, 0
        while at < info.end:
            if self._stopped:
                return None
            target = buffer.data[: min(CHUNK_BYTES, info.end - at)]
            got = self._store.read_piece(piece, at, target)
            if got == 0:
                break  # the check below says so
            crc = crc32c(buffer[:got], crc)
            at += got
            self._tell(self.done_bytes + got)
        return crc
