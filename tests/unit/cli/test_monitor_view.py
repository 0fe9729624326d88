"""Rows of a sample, and the picture that a terminal shows of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sensor_trees import EVERYTHING, LAPTOPS, Files, chip, device

from lapwing.cli.monitor_rows import Row, one_line, printable, rows
from lapwing.cli.monitor_view import View
from lapwing.power.monitor.monitor import Monitor
from lapwing.power.monitor.sample import Line, Sample
from lapwing.power.pacing.status import Status
from lapwing.power.sensors.tree import Recording

MEMINFO = "MemTotal:       16384000 kB\nMemAvailable:   9384000 kB"
STATUS = Status(42, 1000.0, "tales", "quiet", 0.4, "int4", 2, 41.5, ("70 °C", "power 40 %"))


@pytest.fixture
def seen(tmp_path: Path) -> Callable[..., Sample]:
    def sample(files: Files, *statuses: Status) -> Sample:
        path = tmp_path / "recording.json"
        path.write_text(Recording(files).dump())
        return Monitor(path, statuses=lambda: list(statuses)).sample()

    return sample


def shown(sample: Sample) -> dict[str, tuple[str, str]]:
    return {row.name: (row.now, row.about) for row in rows(sample)}


def test_rows_of_a_whole_machine(seen: Callable[..., Sample]) -> None:
    sample = seen({**EVERYTHING, "proc/meminfo": MEMINFO}, STATUS)
    watts = replace(sample.readings["RAPL package"], value=12.5, quality="measured", reason=None)
    sample = replace(sample, readings={**sample.readings, "RAPL package": watts})
    assert shown(sample) == {
        "temperature": ("71.0 °C", "critical 100 °C · coretemp Package id 0"),
        "clock": ("2000 MHz", "mean of the CPUs · at most 4800 MHz"),
        "power": ("12.5 W", "of the package · RAPL package"),
        "battery": (
            "50 %",
            "mains · discharging · 14.0 W · the charger gives less than the machine takes",
        ),
        "memory": ("6.7 GiB", "of 15.6 GiB · pressure 1 %"),
        "fan": ("3120 rpm", "thinkpad fan1"),
        "throttling": (
            "–",
            "whether it counts now, the next look will tell · package throttle count: 9 since boot",
        ),
        "governor": ("duty 100 %", "observe · nothing to act on · background work would wait"),
        "pid 42": (
            "41.5 tokens/s",
            "tales · quiet · duty 40 % · int4 · at most 2 threads · 70 °C, power 40 %",
        ),
    }
    assert one_line(sample).startswith("temperature 71.0 °C  clock 2000 MHz  power 12.5 W  battery")


def test_every_row_says_why_it_has_no_value(seen: Callable[..., Sample]) -> None:
    sample = seen({"proc/version": "Linux"})
    told = shown(sample)
    assert told.pop("governor")[0] == "duty 100 %"
    assert {now for now, _ in told.values()} == {"–"}
    assert {row.value for row in rows(sample) if row.name != "governor"} == {None}
    assert "no hwmon chip and no thermal zone" in told["temperature"][1]
    assert "neither cpufreq nor /proc/cpuinfo" in told["clock"][1]
    assert "no powercap zone" in told["power"][1]
    assert "no power supply" in told["battery"][1]
    assert told["memory"][1] == (
        "proc/meminfo: it is not there (any more) · pressure – (it is not there (any more))"
    )
    assert "no hwmon chip shows a fan" in told["fan"][1]
    assert "only Intel's processors" in told["throttling"][1]
    assert told["tokens"][1] == "no running Lapwing has told anything in the last 5 s"


def test_batteries(seen: Callable[..., Sample]) -> None:
    told = {name: shown(seen(laptop.files))["battery"] for name, laptop in LAPTOPS.items()}
    assert told["charge limit reached, adapter ADP1"] == ("80 %", "mains · not charging")
    assert told["two batteries, the first empty"] == ("74 %", "on battery · discharging · 14.0 W")
    assert told["USB-C supply alone"] == (
        "–",
        "mains · battery: no battery of this machine's own among its power supplies",
    )
    assert told["energy_now is empty"] == ("55 %", "unknown")


def test_what_is_not_quite_measured_says_so(seen: Callable[..., Sample]) -> None:
    guest = {"proc/cpuinfo": "flags : hypervisor\ncpu MHz : 2445.4"}
    assert shown(seen(guest))["clock"] == (
        "2445 MHz",
        "estimated: a virtual machine is told the nominal clock · mean of the CPUs",
    )


def test_throttling(seen: Callable[..., Sample]) -> None:
    level = {"macos/thermal_pressure": "com.apple.system.thermalpressurelevel 2"}
    assert shown(seen(level))["throttling"] == ("heavy", "thermal pressure")


@pytest.mark.parametrize(("celsius", "urgency"), [(71, 0), (88, 1), (97, 2), (104, 2)])
def test_urgency(seen: Callable[..., Sample], celsius: int, urgency: int) -> None:
    files = chip(
        3, "coretemp", temp1_input=1000 * celsius, temp1_label="Package id 0", temp1_crit=100_000
    )
    assert next(iter(rows(seen(files)))).urgency == urgency


def test_a_low_battery_is_urgent(seen: Callable[..., Sample]) -> None:
    low = device("sys/class/power_supply/BAT0", type="Battery", status="Discharging", capacity=9)
    assert {row.name: row.urgency for row in rows(seen(low))}["battery"] == 1


def test_the_fastest_fan(seen: Callable[..., Sample]) -> None:
    fans = chip(1, "dell_smm", fan1_input=2100, fan2_input=2600)
    assert shown(seen(fans))["fan"] == ("2600 rpm", "dell_smm fan2 · the fastest of 2")


def test_nothing_in_a_sample_reaches_the_terminal_as_a_command(seen: Callable[..., Sample]) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\r\n\u202e"
    line = Line("temperature", evil, evil, evil, evil, "stuck", evil, None)
    status = replace(STATUS, model=evil, mode=evil, precision=evil, reasons=(evil,))
    sample = seen({**EVERYTHING, "proc/meminfo": MEMINFO}, status)
    sample = replace(sample, readings={evil: line, **sample.readings}, missing={"fan": evil})
    for each in (sample, replace(sample, readings={})):
        for row in rows(each):
            assert (row.name + row.now + row.about).isprintable()
    assert printable(evil) == "?]0;title??[2J???"


def picture(rows_of: list[Row], width: int, height: int = 40, **kwargs: bool | str) -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=str(kwargs.pop("encoding", "utf-8")))
    console = Console(width=width, height=height, file=stream, record=True, **kwargs)  # type: ignore[arg-type]
    console.print(View().frame("title", 1000.0, rows_of))
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("files", [EVERYTHING, {"proc/version": "Linux"}], ids=["all", "none"])
def test_pictures(seen: Callable[..., Sample], width: int, files: Files) -> None:
    of = rows(seen(files, STATUS))
    lines = picture(of, width)
    assert max(map(len, lines)) <= width
    assert lines[0] == "title"
    names = [line.split("  ")[0] for line in lines if line and not line.startswith(" ")]
    assert names[1:] == [row.name for row in of]
    if width >= 80:
        flat = " ".join(" ".join(lines).split())
        for row in of:
            assert row.now in flat
        words = [word for row in of for word in row.about.split()]
        assert [word for word in words if word not in flat] == []


def test_a_low_terminal_has_a_line_for_each_row(seen: Callable[..., Sample]) -> None:
    of = rows(seen({"proc/version": "Linux"}))
    assert len(picture(of, 80, height=40)) > 1 + len(of)
    lines = picture(of, 80, height=12)
    assert len(lines) == 1 + len(of)
    assert sum(line.rstrip().endswith("…") for line in lines) >= 3


def bars_of(values: list[float | None], encoding: str = "utf-8", **kwargs: float) -> str:
    view, row = View(), Row("power", "1 W", "about")
    frame = None
    for second, value in enumerate(values):
        frame = view.frame("", 3.0 * second, [replace(row, value=value, **kwargs)])
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(width=210, file=stream, record=True)  # bars of 3 s
    console.print(frame)
    return console.export_text().splitlines()[1][12:72]


def test_bars() -> None:
    shown_bars = bars_of([0.0, 7.0, None, 8.0, 4.0])
    assert shown_bars.strip() == "▁▇ █▅"
    assert shown_bars.endswith("▅"), "the newest stands last"
    assert bars_of([30.0, 65.0, 100.0, 120.0], low=30.0, high=100.0).strip() == "▁▅██"
    assert bars_of([0.0, 0.0]).strip() == "▁▁"
    assert bars_of([0.0, 7.0, None, 8.0, 4.0], "ascii").strip() == "_* #="


def test_two_models_of_one_process_have_bars_of_their_own(seen: Callable[..., Sample]) -> None:
    view = View()
    sample = seen({}, STATUS, replace(STATUS, tokens_per_s=None))
    frame = view.frame("", 1000.0, rows(sample))
    assert [bool(history) for row, history in frame.rows if row.name == "pid 42"] == [True, False]
