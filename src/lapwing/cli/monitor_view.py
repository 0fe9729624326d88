"""The live view: rows, and what they were in the last minutes as bars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, OverflowMethod, RenderResult
from rich.table import Table
from rich.text import Text

from lapwing.cli.monitor_rows import NONE, Row, printable
from lapwing.power.monitor.history import History

SPAN_S = 180.0
BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
STYLES = ("", "yellow", "bold red")
MIN_BARS, MAX_BARS = 8, 60
OTHERS = 30  # columns of names and values
GAP = 2


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
            history = self._histories[key] = before.get(key, History(SPAN_S))
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
        table = self._lines(console, options, wraps=True)
        if 1 + sum(len(console.render_lines(line, options)) for line in table) >= console.height:
            table = self._lines(console, options, wraps=False)
        yield Text(printable(self.title), style="bold", no_wrap=True, overflow="ellipsis")
        yield from table

    def _lines(self, console: Console, options: ConsoleOptions, *, wraps: bool) -> list[Table]:
        """One for each row, in columns; why there is no value begins where bars would."""
        name_width = max((len(row.name) for row, _ in self.rows), default=0)
        now_width = max((len(row.now) for row, _ in self.rows), default=0)
        bars = min(max((options.max_width - OTHERS) // 3, MIN_BARS), MAX_BARS)
        lines = []
        for row, history in self.rows:
            line = Table.grid(padding=(0, GAP, 0, 0))
            line.add_column(width=name_width, no_wrap=True)
            line.add_column(width=now_width, no_wrap=True)
            cells = [Text(row.name, style="bold"), Text(row.now, style=STYLES[row.urgency])]
            left = options.max_width - name_width - now_width - 2 * GAP
            if row.now != NONE or history:
                line.add_column(width=bars, no_wrap=True)
                cells.append(Text(self._bars(row, history, bars, console), style="cyan"))
                left -= bars + GAP
            overflow: OverflowMethod = "fold" if wraps else "ellipsis"
            line.add_column(width=max(left, 1), no_wrap=not wraps, overflow=overflow)
            line.add_row(*cells, Text(row.about, style="dim" if row.now == NONE else ""))
            lines.append(line)
        return lines

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
            share = min(max((value - row.low) / span, 0.0), 1.0)
            return steps[round(share * (len(steps) - 1))]

        return "".join(map(bar, values))
