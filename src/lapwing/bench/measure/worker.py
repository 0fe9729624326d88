"""A process of its own for what is measured: requests come in and answers go out as JSON lines.

Everything else that is printed there goes to stderr. A request that fails is answered with its
reason; the process lives on.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from typing import Any, Protocol


class Handler(Protocol):
    """Answers requests; its module has a function `handler` that makes it."""

    def answer(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One request: plain values in, plain values out."""


class Unavailable(Exception):  # noqa: N818 - a finding, not a failure
    """What was asked cannot be had here; the message is the reason a reader sees."""


def end_with_parent() -> None:
    """Linux ends this process when the one that started it is gone, even while it is stopped."""
    if sys.platform == "linux":
        import ctypes

        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(module: str, *arguments: str) -> None:
    """Answers requests with the handler of that module until they end."""
    end_with_parent()
    # Libraries may print: answers have the real stdout for themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    handler: Handler = importlib.import_module(module).handler(*arguments)
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        try:
            told = handler.answer(**json.loads(line))
        except Unavailable as error:
            told = {"unavailable": str(error)}
        except Exception as error:
            import traceback

            traceback.print_exc()
            told = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), file=answers)
