"""The README's region between two markers."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def put(path: Path, text: str) -> None:
    """Replaces what stands between the markers. Raises SystemExit where they are not, once each."""
    before = path.read_text(encoding="utf-8")
    if before.count(BEGIN) != 1 or before.count(END) != 1:
        raise SystemExit(f"{path}: expected one line {BEGIN} and one {END}; put them there first")
    head, _, rest = before.partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")
