"""The table of commands; each is imported when it is named."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import lapwing
from lapwing.errors import RequestError

COMMANDS = {
    "run": "run",
    "embed": "embed",
    "fill-mask": "fill_mask",
    "classify": "classify",
    "rerank": "rerank",
    "show": "show",
    "pull": "pull",
    "ls": "ls",
    "rm": "rm",
    "pack": "pack",
    "verify": "verify",
    "tokenize": "tokenize",
    "doctor": "doctor",
    "monitor": "monitor",
    "bench": "bench",
    "profile-memory": "profile_memory",
    "eval": "eval",
    "explain-quant": "explain_quant",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "explain-quant": {"ignore_unknown_options": True}  # −3.14 is a number, not an option
}
# typer's, or click's, depending on the version of typer
UsageError: type[Any] = typer.BadParameter.__bases__[0]


class Commands(TyperGroup):
    """Commands by name, from modules that are not imported until then."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Raises RequestError with the list for a name that is none."""
        if cmd_name not in COMMANDS:
            raise RequestError(f"no command {cmd_name!r}; there are {', '.join(COMMANDS)}")
        module = import_module(f"lapwing.cli.{COMMANDS[cmd_name]}")
        if hasattr(module, "app"):  # a command of several
            return typer.main.get_command(module.app)
        one = _typer()
        one.command(cmd_name, context_settings=SETTINGS.get(cmd_name))(module.command)
        return typer.main.get_command(one)


def _typer(**settings: Any) -> typer.Typer:
    # Plain help: rich takes as long to import as everything else together.
    return typer.Typer(add_completion=False, rich_markup_mode=None, **settings)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"lapwing {lapwing.__version__}")
        raise typer.Exit


app = _typer(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})


@app.callback()
def lapwing_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say it and exit."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Show where an error comes from. Anywhere on the line, or LAPWING_DEBUG=1.",
        ),
    ] = False,
) -> None:
    """Run language models on this laptop.

    Exit codes: 0 fine, 2 bad usage, 3 does not fit, 4 model or file, 6 slower than it was (bench
    compare), 130 interrupted.
    """


def dispatch(args: Sequence[str], *, debug: bool) -> int:
    """Parses and runs one command → exit code. Raises LapwingError, and RequestError for usage."""
    _log_to_stderr(logging.DEBUG if debug else logging.WARNING)
    root = typer.main.get_command(app)
    try:
        with root.make_context("lapwing", list(args) or ["--help"]) as context:
            root.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "lapwing"
        message = error.format_message().rstrip(".")
        raise RequestError(f"{message}. See '{where} --help'.") from None
    return 0


class _Lines(logging.Handler):
    """The library's log as lines on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes `warning: …`."""
        from lapwing.cli.terminal import say

        say(record.getMessage(), record.levelname.lower())


def _log_to_stderr(level: int) -> None:
    logger = logging.getLogger("lapwing")
    logger.handlers = [_Lines()]
    logger.propagate = False
    logger.setLevel(level)
