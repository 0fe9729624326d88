"""The live view: rows, and what they were in the last minutes as bars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from lapwing.cli.monitor_rows import NONE, Row, printable
from lapwing.power.monitor.history import History

SPAN_S = 180.0
BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
STYLES = ("", "yellow", "bold red")
MIN_BARS, MAX_BARS = 8, 60
OTHERS = 30  # columns of names and values


class View:
    """Keeps the last minutes of what it is given."""

    def __init__(self) -> None:
        self._histories: dict[str, History] = {}

    def frame(self, title: str, time_s: float, rows: Sequence[Row]) -> Frame:
        """What is to be shown now. time_s: of the sample."""
        before, self._histories = self._histories, {}
        counts = Counter[str]()
        drawn = []
        for row in rows:
            counts[row.name] += 1  # a process may have several models
            key = f"{row.name} {counts[row.name]}"
            history = self._histories[key] = before.get(key) or History(SPAN_S)
            if row.value is not None:
                history.add(time_s, row.value)
            drawn.append((row, history))
        return Frame(title, time_s, tuple(drawn))


@dataclass(frozen=True)
class Frame:
    """One picture; rich asks it for its lines."""

    title: str
    time_s: float
    rows: tuple[tuple[Row, History], ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As wide as the terminal; reasons are cut where they would make it higher than that."""
        table = self._table(console, options, wraps=True)
        if len(console.render_lines(table, options)) + 2 > console.size.height:
            table = self._table(console, options, wraps=False)
        yield Text(printable(self.title), style="bold", no_wrap=True, overflow="ellipsis")
        yield table

    def _table(self, console: Console, options: ConsoleOptions, *, wraps: bool) -> Table:
        bars = min(max((options.max_width - OTHERS) // 3, MIN_BARS), MAX_BARS)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        has_bars = any(row.value is not None for row, _ in self.rows)
        if has_bars:
            table.add_column(no_wrap=True, width=bars)
        table.add_column(ratio=1, no_wrap=not wraps, overflow="fold" if wraps else "ellipsis")
        for row, history in self.rows:
            cells = [Text(row.name, style="bold"), Text(row.now, style=STYLES[row.urgency])]
            if has_bars:
                cells.append(Text(self._bars(row, history, bars, console), style="cyan"))
            cells.append(Text(row.about, style="dim" if row.now == NONE else ""))
            table.add_row(*cells)
        return table

    def _bars(self, row: Row, history: History, count: int, console: Console) -> str:
        """One character for each part of the last minutes; none where nothing was seen."""
        values = history.bars(self.time_s, count)
        seen = [value for value in values if value is not None]
        high = max(seen, default=0.0) if row.high is None else row.high
        steps = BARS if console.encoding.startswith("utf") else PLAIN_BARS
        span = max(high - row.low, 1e-9)

        def bar(value: float | None) -> str:
            if value is None:
                return " "
            return steps[min(max(int(len(steps) * (value - row.low) / span), 0), len(steps) - 1)]

        return "".join(map(bar, values))
