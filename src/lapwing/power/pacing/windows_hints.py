"""Windows: EcoQoS for the process, and for jobs the idle priority class.

EcoQoS is execution-speed throttling: efficient cores and clocks, for all threads. `normal` leaves
the choice to the system again; throttling turned off would be more than there was before. The
background mode of SetPriorityClass is not used: it takes memory away as well.
Facts: learn.microsoft.com: processthreadsapi SetProcessInformation (its three examples),
PROCESS_POWER_THROTTLING_STATE, SetPriorityClass. None of it was run on such a machine.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Iterator
from typing import Any, Protocol

from lapwing.power.governor.command import Qos
from lapwing.power.pacing.hints import SystemHints, tried

IDLE_CLASS = 0x40
EXECUTION_SPEED = 1
_POWER_THROTTLING = 4  # of PROCESS_INFORMATION_CLASS
_STATE = struct.Struct("=III")  # version, what is controlled, what of that is on


class Calls(Protocol):
    """What the system is asked; each raises OSError."""

    def throttle(self, controlled: int, on: int) -> None: ...

    def priority_class(self) -> int: ...

    def set_priority_class(self, value: int) -> None: ...


class Kernel32:
    """See Calls. library: kernel32."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._library.GetCurrentProcess.restype = ctypes.c_void_p
        self._process = ctypes.c_void_p(self._library.GetCurrentProcess())

    def throttle(self, controlled: int, on: int) -> None:
        data = _STATE.pack(1, controlled, on)
        if not self._library.SetProcessInformation(
            self._process, _POWER_THROTTLING, data, len(data)
        ):
            raise _failed("SetProcessInformation")

    def priority_class(self) -> int:
        value = self._library.GetPriorityClass(self._process)
        if not value:
            raise _failed("GetPriorityClass")
        return int(value)

    def set_priority_class(self, value: int) -> None:
        if not self._library.SetPriorityClass(self._process, value):
            raise _failed("SetPriorityClass")


class WindowsHints(SystemHints):
    """See Hints."""

    def __init__(self, calls: Calls | None = None) -> None:
        super().__init__()
        self._calls = calls
        self._class_before: int | None = None

    def change(self, last: Qos, qos: Qos) -> Iterator[str | None]:
        """See SystemHints."""
        calls = self._calls = self._calls or Kernel32(_kernel32())
        bits = 0 if qos == "normal" else EXECUTION_SPEED
        yield tried("EcoQoS", lambda: calls.throttle(bits, bits))
        yield tried("priority class", lambda: self._set_class(calls, qos == "background"))

    def _set_class(self, calls: Calls, idle: bool) -> None:
        if idle:
            before = calls.priority_class()
            calls.set_priority_class(IDLE_CLASS)
            self._class_before = before
        elif self._class_before is not None:
            calls.set_priority_class(self._class_before)
            self._class_before = None


def _kernel32() -> Any:
    if sys.platform == "win32":
        return ctypes.WinDLL("kernel32", use_last_error=True)
    raise AttributeError("this is not Windows")


def _failed(what: str) -> OSError:
    code = getattr(ctypes, "get_last_error", int)()  # Windows' alone
    return OSError(f"{what} says error {code:#x}")
