"""A bar for what takes longer than a second, on a terminal only."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE_S = 1.0


class LoadingBar:
    """Call it with (bytes done, bytes in all); use as a context manager."""

    def __init__(self, title: str, *, wanted: bool = True) -> None:
        self._title, self._wanted = title, wanted and sys.stderr.isatty()
        self._began_s = time.monotonic()
        self._bar: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        """Shows how far it is, once it has taken long enough to ask."""
        if not self._wanted:
            return
        if self._bar is None:
            if time.monotonic() - self._began_s < PATIENCE_S or done >= total:
                return
            self._bar = self._start(total)
        self._bar.update(self._bar.task_ids[0], completed=done)

    def _start(self, total: int) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            Remaining(),
            console=Console(stderr=True),
            transient=True,
        )
        bar.add_task(self._title, total=total)
        bar.start()
        return bar

    def __enter__(self) -> LoadingBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
