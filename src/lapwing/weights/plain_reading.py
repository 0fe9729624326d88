"""The files of a checkpoint as a reader takes them: tensor by tensor, nothing to prove."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lapwing.backends.read_ahead import ReadAhead, read_ahead
from lapwing.weights.lazy import LazyTensor
from lapwing.weights.safetensors import TensorInfo


class PlainFiles:
    """Reads tensors into the system's page cache, from where their mappings have them."""

    def __init__(self, tensors: Sequence[LazyTensor]) -> None:
        """Pieces are called by their place in this list."""
        self._tensors = list(tensors)
        self._open: dict[str, int] = {}
        self.path = Path(str(self._tensors[0].file)).parent if self._tensors else Path()

    def span(self, piece: str) -> TensorInfo:
        """Where a tensor lies in its file."""
        return self._tensors[int(piece)].info

    def read_piece(self, piece: str, offset: int, buffer: memoryview) -> int:
        """Bytes read from the tensor's file; 0 at its end. Raises OSError."""
        file = str(self._tensors[int(piece)].file)
        return os.preadv(self._descriptor(file), [buffer], offset)

    def _descriptor(self, file: str) -> int:
        if file not in self._open:
            self._open[file] = os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        return self._open[file]

    def check(self, piece: str, crc: int) -> None:
        """A checkpoint has no checksums; its floats are looked through when they are bound."""

    def read_ahead(self, pieces: Sequence[str]) -> ReadAhead | None:
        """Without Python, where all are in one file."""
        files = {str(self._tensors[int(piece)].file) for piece in pieces}
        if len(files) != 1:
            return None
        spans = [(self.span(piece).begin, self.span(piece).end) for piece in pieces]
        return read_ahead(self._descriptor(files.pop()), spans)

    def close(self) -> None:
        """Of the files."""
        for fd in self._open.values():
            with suppress(OSError):
                os.close(fd)
        self._open = {}
