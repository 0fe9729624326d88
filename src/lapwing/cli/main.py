"""The door itself: whatever happens inside leaves as one line of text and an exit code.

Imports next to nothing before it stands guard, so that Ctrl-C at any moment is a clean exit.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

INTERRUPTED = 130  # as a shell reports SIGINT
BROKEN_PIPE = 141  # as a shell reports SIGPIPE
INTERNAL, DOES_NOT_FIT, FILE = 1, 3, 4


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line (the process's own by default) → exit code."""
    args, debug = take_debug(sys.argv[1:] if argv is None else argv, os.environ)
    try:
        _prepare_streams()
        from lapwing.cli.app import dispatch

        code = dispatch(args, debug=debug)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except Exception as error:
        return _report(error, debug)


def take_debug(args: Sequence[str], env: Mapping[str, str]) -> tuple[list[str], bool]:
    """`--debug` may stand anywhere before `--`; LAPWING_DEBUG says the same."""
    end = args.index("--") if "--" in args else len(args)
    rest = [arg for arg in args[:end] if arg != "--debug"]
    debug = len(rest) < end or env.get("LAPWING_DEBUG", "") not in ("", "0")
    return [*rest, *args[end:]], debug


def _report(error: Exception, debug: bool) -> int:
    from lapwing.cli.terminal import say
    from lapwing.errors import LapwingError

    if debug:
        import traceback

        traceback.print_exc()
    text = str(error)
    if isinstance(error, LapwingError):
        code = error.exit_code
    elif isinstance(error, MemoryError):
        code, text = DOES_NOT_FIT, "out of memory. Close other programs, or use a smaller dtype."
    elif isinstance(error, OSError):
        code = FILE
        _drop_output()  # it may be standard output that failed
    else:
        code = INTERNAL
        text = (
            f"internal error: {type(error).__name__}: {text}. This is a bug; --debug shows where."
        )
    say(text, "error")
    return code


def _prepare_streams() -> None:
    """Closed streams become silent ones; characters a stream cannot write become '?'."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _drop_output() -> None:
    """What is still buffered for a standard output that takes no more goes nowhere, quietly."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
