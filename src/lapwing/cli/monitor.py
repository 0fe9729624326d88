"""`lapwing monitor`: what this machine and what runs on it are doing, while they do it."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapwing.cli import options
from lapwing.cli.stopping import Stop
from lapwing.cli.terminal import counted, say
from lapwing.errors import RequestError

if TYPE_CHECKING:
    from lapwing.power.monitor.monitor import Monitor
    from lapwing.power.monitor.sample import Sample

INTERVAL_S = 1.0
LONGEST_S = 3600.0
PRIME_S = 1.0  # between the two looks that some values need
MAX_GAP_S = 10.0  # of a replay: what was asleep for a night is not shown asleep

Json = Annotated[bool, typer.Option("--json", help="Print JSON lines, one a sample: a trace.")]
Interval = Annotated[
    float | None,
    typer.Option(
        "--interval",
        metavar="S",
        help=f"Seconds between samples.  [default: {INTERVAL_S:g}]",
        show_default=False,
    ),
]
Once = Annotated[bool, typer.Option("--once", help="Print one sample, and why values are missing.")]
Record = Annotated[
    Path | None,
    typer.Option(
        "--record", metavar="FILE", help="Write every sample to a new FILE.", show_default=False
    ),
]
Replay = Annotated[
    Path | None,
    typer.Option("--replay", metavar="FILE", help="Show what --record wrote.", show_default=False),
]
Speed = Annotated[
    float | None,
    typer.Option(
        "--speed",
        metavar="X",
        help="Replay so many times as fast.  [default: 1]",
        show_default=False,
    ),
]

Show = Callable[["Sample"], None]


def command(
    json: Json = False,
    once: Once = False,
    interval: Interval = None,
    sysfs: options.Sysfs = None,
    record: Record = None,
    replay: Replay = None,
    speed: Speed = None,
) -> None:
    """Watch heat, watts, battery and running models.

    Also clocks, memory and fans. What has no sensor here says why. Ctrl-C ends it. Not on a
    terminal: a line of text a sample.
    """
    _check(interval, sysfs, record, replay, speed)
    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        samples, title = _samples(stop, once, interval, sysfs, replay, speed)
        show = _shown(stack, title, json=json, once=once)
        if record is not None:
            show = _recorded(stack, show, record)
        for sample in samples:
            show(sample)
            if once:
                break


def _check(
    interval: float | None,
    sysfs: str | None,
    record: Path | None,
    replay: Path | None,
    speed: float | None,
) -> None:
    """Raises RequestError for what cannot be wanted together, and for numbers that are none."""
    given = {"--sysfs": sysfs, "--record": record, "--interval": interval}
    if replay is not None and (other := [name for name in given if given[name] is not None]):
        raise RequestError(f"--replay shows what was recorded; it takes no {other[0]}.")
    if replay is None and speed is not None:
        raise RequestError("--speed is of a replay; give --replay FILE, too.")
    if speed is not None and not 0.0 < speed < math.inf:
        raise RequestError(f"--speed: expected a number above 0, got {speed:g}")
    if interval is not None and not 0.1 <= interval <= LONGEST_S:
        raise RequestError(f"--interval: expected 0.1 to {LONGEST_S:g} seconds, got {interval:g}")


def _samples(
    stop: Stop,
    once: bool,
    interval: float | None,
    sysfs: str | None,
    replay: Path | None,
    speed: float | None,
) -> tuple[Iterator[Sample], str]:
    """Where they come from, and the title over them."""
    if replay is not None:
        from lapwing.power.monitor.trace import read_trace

        speed = 1.0 if speed is None else speed
        title = f"{replay}, recorded" + (f", {speed:g} times as fast" if speed != 1.0 else "")
        return _replayed(read_trace(replay), stop, speed), title
    from lapwing.power.monitor.monitor import Monitor

    interval_s = INTERVAL_S if interval is None else interval
    monitor = Monitor(sysfs, interval_s)
    root = monitor.sensors.root
    title = "this machine" if root == os.sep else f"sensors of {root}"
    if once and monitor.prime():
        stop.wait(PRIME_S)
    return _live(monitor, stop, interval_s), title


def _live(monitor: Monitor, stop: Stop, interval_s: float) -> Iterator[Sample]:
    """One now, and one at each interval, however long it takes to show them."""
    due_s = time.monotonic()
    while True:
        yield monitor.sample()
        due_s = max(due_s + interval_s, time.monotonic())
        if stop.wait(due_s - time.monotonic()):
            return


def _replayed(samples: Iterator[Sample], stop: Stop, speed: float) -> Iterator[Sample]:
    """At the pace at which they were seen."""
    last_s: float | None = None
    due_s = time.monotonic()
    for sample in samples:
        if last_s is not None:
            due_s += min(max(sample.time_s - last_s, 0.0), MAX_GAP_S) / speed
        last_s = sample.time_s
        if stop.wait(due_s - time.monotonic()):
            return
        yield sample


def _recorded(stack: ExitStack, show: Show, path: Path) -> Show:
    """Writes each sample before it is shown; says how many in the end."""
    from lapwing.power.monitor.trace import Recorder

    recorder = stack.enter_context(Recorder(path))
    stack.callback(lambda: say(f"{path}: {counted(recorder.count, 'sample')}"))

    def both(sample: Sample) -> None:
        recorder.write(sample)
        show(sample)

    return both


def _shown(stack: ExitStack, title: str, *, json: bool, once: bool) -> Show:
    """JSON, the words of one sample, a live view on a terminal, else a line each."""
    if json:
        return lambda sample: print(sample.to_json(), flush=True)
    from lapwing.cli.monitor_rows import one_line, printable, rows

    if once:

        def words(sample: Sample) -> None:
            print(f"{printable(title)}, {_clock_time(sample)}")
            for row in rows(sample):
                print(f"{row.name:<11}  {row.now:<13}  {row.about}".rstrip())

        return words
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return _on_terminal(stack, title)
    missing: set[str] = set()

    def line(sample: Sample) -> None:
        for row in rows(sample):
            if row.now == "–" and row.name not in missing:
                missing.add(row.name)
                say(f"{row.name}: {row.about}", "note")
        print(f"{_clock_time(sample)}  {one_line(sample)}", flush=True)

    return line


def _on_terminal(stack: ExitStack, title: str) -> Show:
    from rich.console import Console
    from rich.live import Live

    from lapwing.cli.monitor_rows import rows
    from lapwing.cli.monitor_view import SPAN_S, View

    view = View()
    live = stack.enter_context(
        Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop")
    )

    def frame(sample: Sample) -> None:
        now = f"{_clock_time(sample)} and {SPAN_S / 60:.0f} minutes before"
        heading = f"lapwing monitor · {title} · {now} · Ctrl-C ends it"
        live.update(view.frame(heading, sample.time_s, rows(sample)), refresh=True)

    return frame


def _clock_time(sample: Sample) -> str:
    """Of a hostile trace, perhaps none."""
    try:
        return f"{datetime.fromtimestamp(sample.time_s):%H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return "--:--:--"
