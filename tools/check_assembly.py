"""Looks at what the compiler made of the hot integer tiles: no spills, the instructions meant.

    python tools/check_assembly.py BUILD_DIR [--accept]

BUILD_DIR: an optimised build without sanitizers. In the disassembly of the kernels of each
instruction set it looks for three things:

* Vector registers stored to the stack, or read back, within the innermost loops that multiply
  integers. Some tiles keep sums there on purpose; `native/tests/spills.json` has how many accesses
  were accepted, by compiler and instruction set: none where it has no number. What a compiler
  makes that it does not know is printed and compared with nothing. --accept writes what was found.
* Panel tiles must multiply with the instruction they were written for.
* Functions that the linker may take from any object file (weak symbols) must not hold AVX
  instructions: another processor might be given them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from count_instructions import compiler_of

ACCEPTED = Path(__file__).parents[1] / "native" / "tests" / "spills.json"
MULTIPLIES = re.compile(r"v?p(maddubsw|maddwd|dpbusd)|[su]{1,2}dot|[su]{1,2}mmla|[su]m(ul|la)l2?")
PANELS = {  # what their tiles must multiply with
    "avx2": r"vpmadd(ubsw|wd) .*%ymm",
    "avx_vnni": r"vpdpbusd .*%ymm",
    "avx512_vnni": r"vpdpbusd .*%zmm",
    "neon": r"smull2? ",
    "neon_dotprod": r"sdot ",
    "neon_i8mm": r"usmmla ",
}
X86_VECTOR = re.compile(r"%[xyz]mm\d+")
X86_STACK = re.compile(r"\(%rsp[,)]")
X86_FRAME = re.compile(r"\(%rbp[,)]")
ARM_VECTOR = re.compile(r"\b[qv]\d+\b")
ARM_STACK = re.compile(r"\[(sp|x29)\b")


@dataclass(frozen=True)
class Instruction:
    address: int
    mnemonic: str
    operands: str

    @property
    def target(self) -> int | None:
        """Of a jump within reach."""
        found = re.match(r"(?:[xw]\d+, )?(?:0x)?([0-9a-f]+) <", self.operands)
        jumps = self.mnemonic.startswith(("j", "b.", "cb")) or self.mnemonic == "b"
        return int(found[1], 16) if found and jumps else None


def functions(objdump: str, path: Path) -> Iterator[tuple[str, list[Instruction]]]:
    """(demangled name, body) of every function of an object file."""
    command = [objdump, "-dC", "--no-show-raw-insn", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for section in text.split("\n\n"):
        head = re.search(r"^[0-9a-f]+ <(.*)>:$", section, re.MULTILINE)
        if head is None:
            continue
        lines = re.findall(
            r"^ *([0-9a-f]+):[ \t]+(?:\{vex\}[ \t]+)?(\S+)[ \t]*(.*)$", section, re.MULTILINE
        )
        yield head[1], [Instruction(int(at, 16), name, rest) for at, name, rest in lines]


def innermost_loops(body: list[Instruction]) -> list[list[Instruction]]:
    """Stretches that a backward jump repeats and that hold no other such stretch."""
    start = body[0].address if body else 0
    spans = {
        (target, each.address)
        for each in body
        if (target := each.target) is not None and start <= target <= each.address
    }
    inner = [
        (a, b)
        for a, b in spans
        if not any((c, d) != (a, b) and a <= c and d <= b for c, d in spans)
    ]
    return [[each for each in body if a <= each.address <= b] for a, b in sorted(inner)]


def stack_accesses(loop: list[Instruction], *, framed: bool) -> int:
    """Vector registers that go to the stack or come from it; framed: %rbp points there, too."""

    def on_stack(operands: str) -> bool:
        if ARM_VECTOR.search(operands):
            return bool(ARM_STACK.search(operands))
        frame = framed and X86_FRAME.search(operands)
        return bool(X86_VECTOR.search(operands) and (X86_STACK.search(operands) or frame))

    return sum(on_stack(each.operands) for each in loop)


def spills(objdump: str, path: Path, isa: str) -> tuple[dict[str, int], list[str]]:
    """Function → stack accesses in its hot loops, of all that have such loops; and panel tiles that
    do not use the instruction they were written for."""
    found: dict[str, int] = {}
    foreign = []
    for name, body in functions(objdump, path):
        hot = [
            loop
            for loop in innermost_loops(body)
            if any(MULTIPLIES.fullmatch(each.mnemonic) for each in loop)
        ]
        framed = any(each.mnemonic == "mov" and each.operands == "%rsp,%rbp" for each in body)
        if hot and "::multiply" not in name:
            found[short(name)] = sum(stack_accesses(loop, framed=framed) for loop in hot)
            text = "\n".join(f"{each.mnemonic} {each.operands}" for loop in hot for each in loop)
            if "panel_tile" in name and not re.search(PANELS.get(isa, ""), text):
                foreign.append(f"{isa}: {short(name)} does not multiply by {PANELS[isa]}")
    return found, foreign


def short(name: str) -> str:
    """`void lapwing::avx2::tile<(lapwing::avx2::Form)1, 4ul>(…)` → `tile<Form 1, 4>`."""
    name = re.sub(r"\((?:lapwing::\w+::)?(\w+)\)(\d)", r"\1 \2", name)
    found = re.search(r"(?:lapwing::\w+::)?(\w+(?:<[^()]*>)?)\(", name)
    return re.sub(r"(\d)ul\b", r"\1", found[1]) if found else name


def shared_vectors(objdump: str, nm: str, path: Path) -> list[str]:
    """Weak functions with AVX instructions."""
    text = subprocess.run([nm, "-C", str(path)], capture_output=True, text=True, check=True).stdout
    weak = set(re.findall(r"^[0-9a-f]+ [WVu] (.*)$", text, re.MULTILINE))
    return [
        name
        for name, body in functions(objdump, path)
        if name in weak
        and any(
            re.search(r"%[xyz]mm|%k\d", each.operands)
            for each in body
            if each.mnemonic.startswith("v")
        )
    ]


def tool_of(build: Path, name: str) -> str:
    """The toolchain's own, from CMake's cache."""
    cache = (build / "CMakeCache.txt").read_text()
    found = re.search(rf"^CMAKE_{name.upper()}:FILEPATH=(.+)$", cache, re.MULTILINE)
    return found[1] if found else name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--accept", action="store_true")
    options = parser.parse_args()
    objdump, nm = tool_of(options.build, "objdump"), tool_of(options.build, "nm")
    accepted = json.loads(ACCEPTED.read_text()) if ACCEPTED.exists() else {}
    wrong = []
    for path in sorted(options.build.glob("CMakeFiles/lapwing_core.dir/native/kernels_*.o")):
        isa = path.name.removeprefix("kernels_").split(".")[0]
        wrong += [f"{isa}: {name} is weak" for name in shared_vectors(objdump, nm, path)]
        if isa == "generic":
            continue
        key = f"{compiler_of(options.build)} {isa}"
        found, foreign = spills(objdump, path, isa)
        wrong += foreign
        if not found:
            wrong.append(f"{isa}: no loop that multiplies integers was found in {path}")
        if options.accept:
            accepted[key] = {name: count for name, count in found.items() if count}
        known = accepted.get(key)
        for name, count in sorted(found.items()):
            allowed = None if known is None else known.get(name, 0)
            said = "nothing to compare with" if allowed is None else f"accepted {allowed}"
            print(f"{key}: {name:<28} {count:>4} stack accesses in hot loops  {said}")
            if allowed is not None and count > allowed:
                wrong.append(f"{isa}: {name} goes to the stack {count} times")
    if options.accept:
        ACCEPTED.write_text(json.dumps(accepted, indent=2, sort_keys=True) + "\n")
    for line in wrong:
        print(f"wrong: {line}")
    if wrong:
        print("Write the tile so that its registers suffice; --accept what is meant to be there.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
