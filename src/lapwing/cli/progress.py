"""Bars for what takes longer than a second, on a terminal only."""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from lapwing.units import format_rate

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn
    from typing_extensions import Self

    from lapwing.jobs.embed_file import Progress as TextsDone

PATIENCE_S = 1.0


class Bar(ABC):
    """Use it as a context manager; a subclass is called with how far it is."""

    def __init__(self, title: str, *, wanted: bool = True) -> None:
        self._title, self._wanted = title, wanted and sys.stderr.isatty()
        self._began_s = time.monotonic()
        self._bar: Progress | None = None
        self.stopped = False
        self._lock = threading.Lock()  # another thread may tell how far it is

    @abstractmethod
    def _columns(self) -> list[ProgressColumn]:
        """Behind the title."""

    def _show(self, done: int, total: int | None, pace: str = "") -> None:
        """Shows how far it is, once it has taken long enough to ask; nothing at the end of it."""
        with self._lock:
            if not self._wanted or self.stopped:
                return
            if total is not None and done >= total:
                self._hide()
                return
            if self._bar is None:
                if time.monotonic() - self._began_s < PATIENCE_S:
                    return
                self._bar = self._start(total)
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, pace=pace)

    def stop(self) -> None:
        """Takes it away; whoever still tells how far it is changes nothing."""
        with self._lock:
            self.stopped = True
            self._hide()

    def _hide(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start(self, total: int | None) -> Progress:
        from rich.console import Console
        from rich.progress import Progress, TextColumn

        bar = Progress(
            TextColumn("{task.description}"),
            *self._columns(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
        )
        bar.add_task(self._title, total=total, pace="")
        bar.start()
        return bar

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class LoadingBar(Bar):
    """Call it with (bytes done, bytes in all)."""

    def __call__(self, done: int, total: int) -> None:
        """See Bar."""
        self._show(done, total)

    def _columns(self) -> list[ProgressColumn]:
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn

        return [BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn()]


class WorkBar(Bar):
    """Call it with (seconds of work done, seconds in all)."""

    def __call__(self, done_s: float, total_s: float) -> None:
        """See Bar."""
        left_s = max(0, round(total_s - done_s))
        share = 1000 * done_s / total_s if total_s > 0 else 0
        self._show(min(int(share), 999), 1000, f"{timedelta(seconds=left_s)} left")

    def say(self, what: str) -> None:
        """What it is at now."""
        self._show(999, 1000, what)

    def _columns(self) -> list[ProgressColumn]:
        from rich.progress import BarColumn, TextColumn

        return [BarColumn(), TextColumn("{task.fields[pace]}")]


class StepsBar(Bar):
    """Call it with (steps done, steps in all)."""

    def __call__(self, done: int, total: int) -> None:
        """See Bar."""
        self._show(done, total)

    def _columns(self) -> list[ProgressColumn]:
        from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

        return [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]


class TextsBar(Bar):
    """Call it with how far a job on texts is; the first call is its beginning."""

    _first: TextsDone | None = None

    def __call__(self, done: TextsDone) -> None:
        """See Bar."""
        if self._first is None:
            self._first, self._began_s = done, time.monotonic()
        since_s = time.monotonic() - self._began_s
        self._show(done.input_bytes, done.total_bytes, describe_pace(self._first, done, since_s))

    def _columns(self) -> list[ProgressColumn]:
        from rich.progress import BarColumn, TextColumn

        return [BarColumn(), TextColumn("{task.fields[pace]}")]


def describe_pace(first: TextsDone, now: TextsDone, since_s: float) -> str:
    """`'42 % · 812.4 texts/s · 0:00:12 left'`: as fast as since `first`, texts as long as those.

    Without the bytes in all there is no end to foresee: `'5,120 texts · 812.4 texts/s'`.
    """
    rate = format_rate(now.texts / since_s if now.texts and since_s > 0 else None, "texts")
    total = now.total_bytes
    if not total:
        return f"{now.texts:,} texts · {rate}"
    parts = [f"{100 * now.input_bytes // total} %", rate]
    made_bytes = now.input_bytes - first.input_bytes
    if made_bytes > 0:
        left_s = since_s / made_bytes * (total - now.input_bytes)
        parts.append(f"{timedelta(seconds=round(left_s))} left")
    return " · ".join(parts)
