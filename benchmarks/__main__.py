"""Side by side with other runtimes: same weights, tokens and threads, taking turns.

python -m benchmarks run --suite decode --peers installed --quick
python -m benchmarks peers
python -m benchmarks render
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import rows
from benchmarks.measure.rows import Results, joined
from benchmarks.models import CAUSAL, ENCODERS
from benchmarks.session import Options, Session, say
from benchmarks.suites import NAMES, suite
from lapwing.bench.measure.context import context
from lapwing.bench.peers import peers

RESULTS = Path(__file__).parent / "results"
PYTHON = "LAPWING_BENCH_PYTHON"  # interpreter of the peers, if not this one

# What holds Lapwing and its peers to less than the processor has (peers.md).
ISA_LIMITS = (
    "LAPWING_ISA",
    "CT2_FORCE_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
)


def parser() -> argparse.ArgumentParser:
    """Of all commands."""
    top = argparse.ArgumentParser(
        "python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="[PEER=]PATH",
        help=f"interpreter of one peer, or of all but Lapwing (default: {PYTHON}, else this one)",
    )
    common.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "lapwing-bench",
        help="folder of checkpoints, exports and logs (default: %(default)s)",
    )
    common.add_argument(
        "--peers",
        default="installed",
        help=f"installed, or some of {', '.join(peers())} (default: %(default)s)",
    )

    run = commands.add_parser("run", parents=[common], help="measure; writes JSON lines")
    run.add_argument("--suite", choices=NAMES, required=True)
    run.add_argument("--models", help="names, comma-separated (default: all of the suite)")
    run.add_argument("--quantizations", help="names, comma-separated (default: all of each peer)")
    run.add_argument(
        "--workloads", help="names, comma-separated: 'decode,depth 2048' (default: all)"
    )
    run.add_argument(
        "--add", action="store_true", help="keep what the file has of other models and workloads"
    )
    run.add_argument("--rounds", type=int, help="of each workload (default: 10; 3 with --quick)")
    run.add_argument("--threads", type=int, default=2, help="of everyone (default: %(default)s)")
    run.add_argument("--seed", type=int, default=0, help="of the order of turns")
    run.add_argument("--quick", action="store_true", help="small models, few rounds: does it work?")
    run.add_argument(
        "--out",
        type=Path,
        help=f"folder of SUITE.jsonl (default: {RESULTS.parent.name}/{RESULTS.name}; "
        "WORK/results with --quick)",
    )

    commands.add_parser("peers", parents=[common], help="what is installed, and what is not")

    render = commands.add_parser("render", help="JSON lines → tables and plots")
    render.add_argument("--results", type=Path, default=RESULTS, help="folder of *.jsonl")
    render.add_argument("--readme", type=Path, help="also between the markers of this file")
    return top


def options_of(arguments: argparse.Namespace) -> Options:
    """As typed, checked by argparse."""

    def names(text: str | None) -> tuple[str, ...] | None:
        return tuple(text.split(",")) if text else None

    pythons = {"": os.environ[PYTHON]} if PYTHON in os.environ else {}
    for told in arguments.python:
        name, equals, path = told.partition("=")
        pythons[name if equals else ""] = path if equals else told
    chosen = None if arguments.peers == "installed" else names(arguments.peers)
    unknown = set(chosen or ()) - set(peers())
    if unknown:
        raise SystemExit(f"--peers: expected some of {', '.join(peers())}; got {unknown.pop()!r}")
    running = arguments.command == "run"
    models = names(arguments.models) if running else None
    unknown = set(models or ()) - {*CAUSAL, *ENCODERS}
    if unknown:
        known = ", ".join((*CAUSAL, *ENCODERS))
        raise SystemExit(f"--models: expected some of {known}; got {unknown.pop()!r}")
    return Options(
        suite=arguments.suite if running else "",
        peers=chosen,
        models=models,
        quantizations=names(arguments.quantizations) if running else None,
        workloads=names(arguments.workloads) if running else None,
        rounds=(arguments.rounds or (3 if arguments.quick else 10)) if running else 0,
        threads=arguments.threads if running else 1,
        quick=running and arguments.quick,
        seed=arguments.seed if running else 0,
        work=arguments.work,
        pythons=pythons,
    )


def run(arguments: argparse.Namespace) -> None:
    """Measures one suite; what is done is on disk even if the rest is not."""
    options = options_of(arguments)
    folder = arguments.out or (options.work / "results" if options.quick else RESULTS)
    path = folder / f"{options.suite}.jsonl"
    kept = arguments.add and path.exists()
    results = Results(context())
    results.context["run"] = {
        "held_to": {name: os.environ[name] for name in ISA_LIMITS if os.environ.get(name)},
        "suite": options.suite,
        "rounds": options.rounds,
        "threads": options.threads,
        "quick": options.quick,
        "seed": options.seed,
    }
    # A run that is ended keeps what it has, and ends its workers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    session = Session(options, results)
    try:
        suite(options.suite)(session)
    finally:
        session.close()
        rows.write(path, joined(rows.read(path), results) if kept else results)
    say(f"{len(results.rows)} rows, {len(results.skips)} skipped: {path}")


def show_peers(arguments: argparse.Namespace) -> None:
    """One line each."""
    results = Results({})
    session = Session(options_of(arguments), results)
    session.close()
    for name, told in results.context["peers"].items():
        print(f"{name:22} {told['version'] or '':12} {told['build'] or ''}")
    for skip in results.skips:
        print(f"{skip.runtime:22} {'–':12} {skip.reason}")


def main() -> None:
    arguments = parser().parse_args()
    if arguments.command == "run":
        run(arguments)
    elif arguments.command == "peers":
        show_peers(arguments)
    else:
        from benchmarks.render import render

        render(arguments.results, arguments.readme)


if __name__ == "__main__":
    main()
