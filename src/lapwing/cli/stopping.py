"""Ctrl-C as something that is waited for, so that nothing is cut in half by it."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """While it is entered, the first Ctrl-C (or SIGTERM) is noted; the next does what it did."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def wait(self, seconds: float) -> bool:
        """So long, or until it is asked for → whether it was."""
        if not self.asked and seconds > 0:
            select.select([self._bell], [], [], seconds)
        return self.asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._ring.send(b".")
        self._restore()

    def _restore(self) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

    def __enter__(self) -> Self:
        self._bell, self._ring = socket.socketpair()
        self._before = {each: signal.signal(each, self._note) for each in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
        self._bell.close()
        self._ring.close()
