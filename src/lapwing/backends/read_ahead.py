"""Reading a file ahead of its use, in a thread that Python's lock does not hold up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lapwing import backends


class ReadAhead(Protocol):
    """Reads spans of a file one after the other, into the system's page cache."""

    @property
    def done_bytes(self) -> int:
        """Read so far."""
        ...

    def wait(self, span: int, at_most_s: float) -> tuple[int, int, int] | None:
        """Bytes read, their CRC-32C and errno, once a span has been read; None before that."""
        ...

    def stop(self) -> None:
        """Reads no further."""
        ...


def read_ahead(fd: int, spans: Sequence[tuple[int, int]]) -> ReadAhead | None:
    """Begins at once, on a descriptor of its own; None without the compiled core."""
    if "cpu" not in backends.available():
        return None
    from lapwing import _native

    return _native.ReadAhead(fd, list(spans))
