"""Instructions of hot kernels, counted by callgrind, against those of the last accepted build.

    python tools/count_instructions.py BUILD_DIR [--accept]

BUILD_DIR: a build with -DLAPWING_TESTS=ON, optimised, without sanitizers. Counts do not drift with
the machine's clock or company: more of them are a kernel that got slower, or that the compiler
spills. They depend on compiler and instruction set, so `native/tests/instructions.json` has them by
both; where it has none the counts are printed and nothing is compared. --accept writes them there.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ACCEPTED = Path(__file__).parents[1] / "native" / "tests" / "instructions.json"
KERNELS = (("int4", 1), ("int8", 1), ("f16", 1), ("int4", 64), ("int8", 64), ("f16", 64))
ROUNDS = 20
ALLOWED = 1.02  # of what was accepted


def counted(program: Path, kind: str, tokens: int, rounds: int) -> tuple[int, str]:
    """Instructions of a whole run, and the instruction set that was at work."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={folder}/out",
                *(str(program), kind, str(tokens), str(rounds)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found, done.stderr
    return int(found[1]), done.stdout.split()[0]


def per_product(program: Path, kind: str, tokens: int) -> tuple[int, str]:
    """What comes before and after the rounds is taken off."""
    some, isa = counted(program, kind, tokens, ROUNDS)
    none, _ = counted(program, kind, tokens, 0)
    return (some - none) // ROUNDS, isa


def compiler_of(build: Path) -> str:
    """`GNU 12`, from CMake's own notes."""
    (path,) = (build / "CMakeFiles").glob("*/CMakeCXXCompiler.cmake")
    text = path.read_text()
    name, version = (
        re.search(rf'set\(CMAKE_CXX_COMPILER_{key} "([^"]*)"', text) for key in ("ID", "VERSION")
    )
    assert name
    assert version
    return f"{name[1]} {version[1].split('.')[0]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--accept", action="store_true")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not here: no instructions are counted")
        return 0
    program = options.build / "count_instructions"
    accepted = json.loads(ACCEPTED.read_text()) if ACCEPTED.exists() else {}
    counts: dict[str, int] = {}
    isa = ""
    for kind, tokens in KERNELS:
        counts[f"{kind} {tokens}"], isa = per_product(program, kind, tokens)
    key = f"{compiler_of(options.build)} {isa}"
    known = accepted.get(key, {})
    worse = []
    for name, count in counts.items():
        before = known.get(name)
        said = "nothing to compare with" if before is None else f"{count / before:.3f} of accepted"
        print(f"{key}: {name:>7} tokens  {count:>10,} instructions  {said}")
        if before is not None and count > before * ALLOWED:
            worse.append(name)
    if options.accept:
        accepted[key] = counts
        ACCEPTED.write_text(json.dumps(accepted, indent=2, sort_keys=True) + "\n")
    elif worse:
        print(
            f"more instructions than accepted: {', '.join(worse)}. Find out why; if it is worth "
            "it, run this with --accept and say so in benchmarks/NOTES.md."
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
