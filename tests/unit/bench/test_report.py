"""The page and the tables: complete, escaped, and self-contained."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from bench_records import record
from hypothesis import given
from hypothesis import strategies as st

from lapwing.bench.record import Record
from lapwing.bench.report import view
from lapwing.bench.report.files import as_csv, as_json, as_jsonl, markdown
from lapwing.bench.report.page import page
from lapwing.bench.report.svg import Scale, number, ticks

HOSTILE = "<script>alert(1)</script>\"'&|\n"


def rows() -> list[Record]:
    quality = {"kl_nats": {"value": 0.029}, "top1_agreement": {"value": 0.94}}
    phases = {"load": {"rss": {"peak": 40 << 20}, "anon": {"peak": 10 << 20}}}
    timeline = [
        {"time_s": 5.0 * n, "rate": 100.0 - n, "temperature_c": 50.0 + n, "frequency_mhz": None}
        for n in range(1, 40)
    ]
    fast = [0.004 + 0.0001 * n for n in range(12)]
    return [
        record([2 * s for s in fast], texts_per_s=100.0, grown_bytes=90 << 20, dtype="f32",
               bits_per_weight=32.0, extra={"kind": "encoder", "memory_phases": phases}),
        record(fast, texts_per_s=200.0, grown_bytes=30 << 20, quality=quality, stable=False,
               bits_per_weight=8.8, reasons={"stable": "it drifted", "energy": "no sensor"}),
        record(fast, sustained={"timeline": timeline, "unit": "texts/s", "ratio": 0.6},
               dtype="int4", temp_c={"start_c": 50.0, "max_c": 90.0}),
    ]  # fmt: skip


class Links(HTMLParser):
    """What a browser would fetch, and elements that were opened and not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "data")]
        if tag not in ("meta", "link", "line", "circle", "rect", "path", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("circle", "rect", "line", "path"):
            return
        assert self.open.pop() == tag


def parsed(text: str) -> Links:
    links = Links()
    links.feed(text)
    assert links.open == []
    return links


def test_the_page_fetches_nothing_and_has_every_chart() -> None:
    text = page(rows())
    links = parsed(text)
    assert links.fetched == ["data:,"]
    assert links.scripts == 0
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "url(" not in text
    assert text.count("<svg") == 4
    assert "prefers-color-scheme:dark" in text
    for told in (
        "KL 0.029, top-1 94.0%",
        "it drifted",
        "no sensor",
        "90 °C",
        "lapwing bench model",
    ):
        assert told in text, told


@given(st.text(max_size=40))
def test_names_cannot_become_markup(name: str) -> None:
    links = parsed(page([record([0.1, 0.2, 0.3], model_filename=name + HOSTILE)]))
    assert links.scripts == 0
    assert links.fetched == ["data:,"]


def test_a_page_of_nothing() -> None:
    assert "Nothing was measured" in page([])
    assert markdown([]) == "nothing was measured\n"


def test_rows_without_numbers_have_a_page() -> None:
    empty = Record(**{**record([1.0]).to_dict(), "seconds": None, "samples_ns": [], "turns_s": []})
    parsed(page([empty, empty]))
    assert "–" in markdown([empty, record([1.0])])


def test_markdown_cells_cannot_break_the_table() -> None:
    text = markdown([record([0.1], dtype="a|b")])
    assert "a\\|b" in text
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()[:3]}
    assert len(bars) == 1


def test_files_hold_every_row() -> None:
    records = rows()
    assert [Record.of(row) for row in json.loads(as_json(records))] == records
    assert [Record.of(json.loads(line)) for line in as_jsonl(records).splitlines()] == records
    read = list(csv.DictReader(io.StringIO(as_csv(records))))
    assert [float(row["seconds.median"]) for row in read] == pytest.approx(
        [r.seconds["median"] for r in records if r.seconds]
    )


def test_ratios_are_to_the_first_row() -> None:
    first, second, _ = rows()
    ratio = view.speed_ratio(second, first)
    assert ratio is not None
    assert ratio.value == pytest.approx(2.0)
    assert view.memory_reduction(second, first) == pytest.approx(2 / 3)
    assert view.speed_ratio(first, first) is None
    other = record([0.1] * 3, n_prompt=99)
    assert view.first_like(other, [first, second, other]) is other
    assert view.first_like(second, [first, second, other]) is first


def test_reasons_are_told_once() -> None:
    records = [record([0.1], reasons={"energy": "none", "j_per_token": "none",
                                      "quality": "mode x does not measure it"})] * 3  # fmt: skip
    assert view.notes(records) == ["energy, j_per_token: none"]


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_inside_and_even(low: float, span: float) -> None:
    found = ticks(low, low + span)
    slack = 1e-6 * (abs(low) + span)
    assert 1 <= len(found) <= 6 or span < 1e-9 * abs(low)
    assert all(low - slack <= tick <= low + span + slack for tick in found)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234.5, "1,234"), (12.34, "12"), (0.5, "0.5"), (0.0123, "0.012")]
)
def test_numbers_on_axes_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_scale_of_one_value_does_not_divide_by_nothing() -> None:
    assert Scale(3, 3, 10, 20)(3) == 10


def test_chromium_has_nothing_to_complain_about(tmp_path: Path) -> None:
    """A page in a real browser: no console message, and a picture that is not one colour."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed")
    path, picture = tmp_path / "report.html", tmp_path / "report.png"
    path.write_text(page(rows()), encoding="utf-8")
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1000,2400", f"--screenshot={picture}", path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    assert picture.stat().st_size > 20_000
