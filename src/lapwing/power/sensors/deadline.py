"""Calls that may never return, made by a thread that may be left behind.

An embedded controller that does not answer keeps whoever reads its file in the kernel, where no
signal and no timeout reaches; only the thread that reads can wait.
"""

from __future__ import annotations

import errno
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from lapwing.power.sensors.tree import Tree

DEADLINE_S = 0.2

T = TypeVar("T")


class SensorTimeoutError(OSError):
    """A sensor did not answer in time."""


class ExpendableThread(threading.Thread):
    """One that may wait for a sensor for ever: nobody waits for it; it ends with the process."""

    def __init__(
        self, target: Callable[..., object], name: str, args: tuple[object, ...] = ()
    ) -> None:
        super().__init__(target=target, args=args, name=name, daemon=True)


class Deadline:
    """Waits so long for a call and no longer; one call per `key` at a time.

    Calls are made by a thread that is kept for the next one; one that hangs is left behind.
    """

    def __init__(self, limit_s: float = DEADLINE_S) -> None:
        self.limit_s = limit_s
        self._waiting: dict[str, _Call[Any]] = {}
        self._free: list[_Worker] = []  # its methods are atomic: callers may be several threads
        weakref.finalize(self, _dismiss, self._free)

    def call(self, key: str, task: Callable[[], T], limit_s: float | None = None) -> T:
        """What `task` returns or raises; SensorTimeoutError where that takes longer.

        While an earlier call under the same key has not returned, raises at once: a sensor that
        hangs costs one thread, not one for each reading. A thread that may wait anyway makes the
        call itself.
        """
        if isinstance(threading.current_thread(), ExpendableThread):
            return task()
        earlier = self._waiting.get(key)
        if earlier is not None and not earlier.done.is_set():
            raise SensorTimeoutError(errno.ETIMEDOUT, "has not answered an earlier reading yet")
        limit_s = self.limit_s if limit_s is None else limit_s
        worker, call = self._take(), _Call(task)
        worker.calls.put(call)
        if not call.done.wait(limit_s):
            self._waiting[key] = call
            worker.calls.put(None)
            raise SensorTimeoutError(
                errno.ETIMEDOUT, f"did not answer within {1000 * limit_s:.0f} ms"
            )
        self._waiting.pop(key, None)
        self._free.append(worker)
        return call.result()

    def _take(self) -> _Worker:
        try:
            return self._free.pop()
        except IndexError:
            return _Worker()


class BoundedTree:
    """A tree whose every file has the deadline."""

    def __init__(self, tree: Tree) -> None:
        self.label, self.own = tree.label, tree.own
        self._tree, self._deadline = tree, Deadline()
        self._texts: dict[str, str | OSError] | None = None
        self._folders: dict[str, list[str]] | None = None

    @contextmanager
    def once(self) -> Iterator[None]:
        """Within it, each file is read once, however many sensors are worked out from it."""
        self._texts, self._folders = {}, {}
        try:
            yield
        finally:
            self._texts = self._folders = None

    def text(self, path: str) -> str:
        """See Tree."""
        texts = self._texts
        if texts is None:
            return self._read(path)
        if path not in texts:
            try:
                texts[path] = self._read(path)
            except OSError as error:
                texts[path] = error
        found = texts[path]
        if isinstance(found, OSError):
            raise found
        return found

    def names(self, folder: str) -> list[str]:
        """See Tree."""
        folders = self._folders
        if folders is None:
            return self._tree.names(folder)
        if folder not in folders:
            folders[folder] = self._tree.names(folder)
        return folders[folder]

    def _read(self, path: str) -> str:
        return self._deadline.call(path, lambda: self._tree.text(path))


class _Worker:
    """A thread that makes one call after the other, until it is told None."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        ExpendableThread(_work, "lapwing sensors", (self.calls,)).start()


def _work(calls: SimpleQueue[_Call[Any] | None]) -> None:
    while (call := calls.get()) is not None:
        call.run()
        del call  # or what it holds would stay until the next one comes


def _dismiss(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.calls.put(None)


class _Call(Generic[T]):
    def __init__(self, task: Callable[[], T]) -> None:
        self.done = threading.Event()
        self._task = task
        self._value: T
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value = self._task()
        except BaseException as error:
            self._error = error
        self.done.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value
