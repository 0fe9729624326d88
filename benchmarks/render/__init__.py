"""JSON lines → tables and plots; nobody writes a figure by hand."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import rows
from benchmarks.render import plots, readme, tables


def render(folder: Path, readme_path: Path | None = None) -> None:
    """Of every *.jsonl: a page and plots beside it, and the README's tables where asked for."""
    found = {path.stem: rows.read(path) for path in sorted(folder.glob("*.jsonl"))}
    if not found:
        raise SystemExit(f"{folder}: no *.jsonl; run a suite first")
    for suite, results in found.items():
        page = folder / f"{suite}.md"
        pictures = plots.draw(results, folder, suite)
        page.write_text(tables.page(suite, results, pictures), encoding="utf-8")
        print(page)
    if readme_path is not None:
        readme.put(readme_path, tables.summary(found))
        print(readme_path)
