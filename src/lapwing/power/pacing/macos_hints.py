"""macOS: tiers of the task, and for jobs the background state, for all threads of the process.

`efficient` gives the task those tiers that the kernel gives to threads of QoS UTILITY. That QoS
itself (pthread_set_qos_class_self_np) is of the calling thread, and others are those that compute.
`background` is PRIO_DARWIN_BG: efficiency cores alone, disk and network throttled.
Facts: man 2 setpriority; xnu osfmk/mach/task_policy.h, osfmk/kern/thread_policy.c
(thread_qos_policy_params). None of it was run on such a machine.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from typing import Any, Protocol

from lapwing.power.governor.command import Qos
from lapwing.power.pacing.hints import SystemHints, tried

UNSPECIFIED = 0
LATENCY_TIER_3 = 0xFF0004
THROUGHPUT_TIER_2 = 0xFE0003
_BASE_QOS_POLICY = 8
_DARWIN_PROCESS, _DARWIN_BACKGROUND = 4, 0x1000


class Calls(Protocol):
    """What the system is asked; each raises OSError."""

    def tiers(self, latency: int, throughput: int) -> None: ...

    def background(self, on: bool) -> None: ...


class Darwin:
    """See Calls. library: libSystem."""

    def __init__(self, library: Any = None) -> None:
        self._library = ctypes.CDLL(None) if library is None else library

    def tiers(self, latency: int, throughput: int) -> None:
        task = ctypes.c_uint32.in_dll(self._library, "mach_task_self_")
        policy = (ctypes.c_int32 * 2)(latency, throughput)
        code = self._library.task_policy_set(task, _BASE_QOS_POLICY, policy, ctypes.c_uint32(2))
        if code:
            raise OSError(f"task_policy_set says error {code}")

    def background(self, on: bool) -> None:
        os.setpriority(_DARWIN_PROCESS, 0, _DARWIN_BACKGROUND if on else 0)


class MacHints(SystemHints):
    """See Hints."""

    def __init__(self, calls: Calls | None = None) -> None:
        super().__init__()
        self._calls = calls

    def change(self, last: Qos, qos: Qos) -> Iterator[str | None]:
        """See SystemHints."""
        calls = self._calls = self._calls or Darwin()
        tiers = (
            (UNSPECIFIED, UNSPECIFIED) if qos == "normal" else (LATENCY_TIER_3, THROUGHPUT_TIER_2)
        )
        yield tried("task tiers", lambda: calls.tiers(*tiers))
        if "background" in (last, qos):
            yield tried("background state", lambda: calls.background(qos == "background"))
