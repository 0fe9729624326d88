"""`lapwing bench`: measures a model, compares runs, and shows how they went over time."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from lapwing.cli import bench_compare, bench_history, bench_measure

DEFAULT = "measure"


class BenchCommands(TyperGroup):
    """What is no command's name is a model's: `lapwing bench tales` measures it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command, and its arguments."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = [DEFAULT, *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Options may come before the model's name."""
        if args and args[0].startswith("-") and args[0] not in ("--help", "-h"):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=BenchCommands,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(DEFAULT)(bench_measure.command)
app.command("compare")(bench_compare.command)
app.command("history")(bench_history.command)


@app.callback()
def bench_options() -> None:
    """Measure a model on this machine: `lapwing bench MODEL`.

    `lapwing bench MODEL [MODE]` is short for `lapwing bench measure MODEL [MODE]`, and
    `lapwing bench measure --help` has its options. Every command here takes --json.
    """
