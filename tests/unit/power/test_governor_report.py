"""docs/power.md has what its program writes. The long tables: tests/laws/test_governor_gates.py."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))
import governor_report

PAGE = governor_report.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["results", "collapse", "fans"])
def test_the_page_says_the_same(name: str) -> None:
    written = governor_report.region(PAGE, name)
    assert written == governor_report.TABLES[name](), "run python tools/governor_report.py"


def test_what_the_page_names_exists() -> None:
    folder = governor_report.PAGE.parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert links
    for link in links:
        assert (folder / link).exists(), link
    for name in governor_report.DRAWN:
        assert f"power/governor-{name}.png" in links


def test_a_page_without_markers_is_left_alone() -> None:
    with pytest.raises(SystemExit, match="governor:gates:begin"):
        governor_report.region("# Power\n", "gates")
