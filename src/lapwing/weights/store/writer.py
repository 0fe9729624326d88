"""Writes a plane store: into a draft beside its place, whole on the disk, then renamed."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapwing.backends.checksum import crc_of
from lapwing.disk import sync_folder
from lapwing.weights.store.format import Contents, Layout, make_header

DRAFT = ".draft"


class StoreWriter:
    """`write` every piece in any order, then `finish`; without that, nothing is left behind.

    Room for all of it is taken at once, so that a full disk is known before anything is computed.
    Raises OSError.
    """

    def __init__(self, path: Path, layout: Layout, contents: Contents) -> None:
        self._path, self._layout, self._contents = path, layout, contents
        self._places = {piece.name: piece for piece in layout.pieces}
        self._crcs: dict[str, int] = {}
        self._begin = len(make_header(layout, contents, None))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._draft = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{DRAFT}"
        self._fd = os.open(self._draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            total = self._begin + layout.nbytes
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._fd, 0, total)
            else:
                os.truncate(self._fd, total)
        except BaseException:
            self._discard()
            raise

    def write(self, name: str, array: NDArray[Any]) -> None:
        """A piece's data, of the shape and dtype that the layout has for it."""
        piece = self._places[name]
        if array.nbytes != piece.nbytes:
            raise ValueError(f"{name}: expected {piece.nbytes} bytes, got {array.nbytes}")
        self._crcs[name] = crc_of(array)
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        at = self._begin + piece.begin
        while data:
            done = os.pwrite(self._fd, data, at)
            data, at = data[done:], at + done

    def finish(self, digests: dict[str, str]) -> None:
        """Pads and header, then the file takes its name. digests: of tensors of the checkpoint."""
        for piece in self._layout.pieces:
            if piece.name.startswith("pad/"):
                self.write(piece.name, np.zeros(piece.nbytes, np.uint8))
        missing = self._places.keys() - self._crcs.keys()
        if missing:
            raise ValueError(f"not written: {', '.join(sorted(missing)[:5])}")
        table = {
            name: replace(entry, digest=digests.get(name, ""))
            for name, entry in self._contents.table.items()
        }
        crcs = [self._crcs[piece.name] for piece in self._layout.pieces]
        header = make_header(self._layout, replace(self._contents, table=table), crcs)
        if len(header) != self._begin:
            raise ValueError(f"the header takes {len(header)} bytes, not {self._begin}")
        os.pwrite(self._fd, header, 0)
        os.fsync(self._fd)
        self._draft.replace(self._path)
        os.close(self._fd)
        self._fd = -1
        sync_folder(self._path.parent)

    def _discard(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._draft.unlink(missing_ok=True)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._discard()
