"""Tells the system how much this process's speed matters: nothing is computed otherwise for it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from lapwing.power.governor.command import Qos
from lapwing.power.sensors.sensor import why


class Hints(Protocol):
    """Of this process and all its threads; callable from any of them. Neither call raises."""

    def apply(self, qos: Qos) -> str | None:
        """From now on; takes a fraction of a second at most. None, or why not all of it is done."""
        ...

    def release(self) -> None:
        """As if nothing had been applied, so far as the system allows."""
        ...


class SystemHints:
    """Acts when something else is wanted than before."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._qos: Qos = "normal"
        self._reason: str | None = None

    def apply(self, qos: Qos) -> str | None:
        """See Hints."""
        with self._turn:
            if qos != self._qos:
                last, self._qos = self._qos, qos
                self._reason = "; ".join(filter(None, self.change(last, qos))) or None
            return self._reason

    def release(self) -> None:
        """See Hints."""
        self.apply("normal")

    def change(self, last: Qos, qos: Qos) -> Iterator[str | None]:
        """Of each thing that was tried: None, or why it is not done."""
        if qos != "normal":
            yield f"no hints to {sys.platform} are known"


def tried(what: str, do: Callable[[], None]) -> str | None:
    """Why it is not done, where it is not."""
    try:
        do()
    except (
        OSError,
        ValueError,
        AttributeError,
    ) as error:  # a library that lacks the call: two last
        return f"{what}: {why(error)}"
    return None


def system_hints(platform: str = sys.platform) -> Hints:
    """Those of this system."""
    if platform == "linux":
        from lapwing.power.pacing.linux_hints import LinuxHints

        return LinuxHints()
    if platform == "darwin":
        from lapwing.power.pacing.macos_hints import MacHints

        return MacHints()
    if platform == "win32":
        from lapwing.power.pacing.windows_hints import WindowsHints

        return WindowsHints()
    return SystemHints()
