"""Write what the governor reaches on simulated laptops into docs/power.md, and its pictures.

    python tools/governor_report.py [--tables | --pictures]

Tables stand between markers in the page; pictures, which need matplotlib, are
docs/power/governor-*.png. Plants, policies and gates are those of the tests.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from closed_loop import (  # noqa: E402
    HALF_AN_HOUR_S,
    Fixed,
    Governed,
    PauseAtLimit,
    Policy,
    Trace,
    disturbed,
    run,
)
from governor_figures import (  # noqa: E402
    FLOOR_TRACES,
    GATES,
    NAMED,
    OTHER_FROM_S,
    OTHER_S,
    OTHER_W,
    PROFILES,
    QUIET,
    TRACES,
    TWO_HOURS_S,
    Case,
    Gate,
    Sense,
    collapsing,
    fan,
    flips_an_hour,
    governed_flips,
    naive,
    naive_floor,
    percentile,
    random_overshoots_c,
)
from plants import AIR, U15  # noqa: E402

from lapwing.power.governor.settings import Settings  # noqa: E402

PAGE = ROOT / "docs" / "power.md"
PICTURES = ROOT / "docs" / "power"
AIR_NEAR_LIMIT = Case(AIR, 95.0)
DRAWN = {"u15-85": NAMED[0], "air-95": AIR_NEAR_LIMIT, "u15-70": QUIET}
OURS, THEIRS, LIMIT = "#1b7f5c", "#7d8a94", "#c2452d"
POLICIES = ("no governor", "fixed 50 %", "pause 30 s at the limit", "Lapwing")
MEAN_S = 10  # of duty and speed in a picture


@cache
def traced(case: Case, policy: str) -> Trace:
    """Half an hour from a cold start."""
    settings = Settings(mode="quiet") if case == QUIET else Settings(max_temp_c=case.set_c)
    policies: dict[str, Policy] = {
        "no governor": Fixed(),
        "fixed 50 %": Fixed(0.5),
        "pause 30 s at the limit": PauseAtLimit(case.set_c),
        "Lapwing": Governed(settings),
    }
    return run(case.plant, policies[policy], case.set_c)


# Tables.


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join(lines)


def per_second(trace: Trace) -> str:
    return f"{trace.tokens / len(trace.tps):.2f}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def results() -> str:
    head = (
        "laptop, set-point",
        "policy",
        "hottest °C",
        "RMS °C",
        "tokens/s",
        "J/token",
        "clocks cut",
    )
    return markdown(
        head,
        (
            (
                f"{case.plant.name}, {case.set_c:.0f} °C",
                f"**{policy}**" if policy == "Lapwing" else policy,
                f"{trace.hottest_c:.1f}",
                f"{trace.rms_c:.2f}",
                per_second(trace),
                f"{trace.j_per_token:.2f}",
                percent(trace.throttled),
            )
            for case in (*NAMED, QUIET)
            for policy in POLICIES
            for trace in [traced(case, policy)]
        ),
    )  # fmt: skip


def collapse() -> str:
    """The fanless laptop, whose firmware takes nearly everything at 100 °C."""
    rows: dict[Sense, str] = {
        "none": "no governor",
        "fixed": "fixed 50 %",
        "pause": "pause 30 s at 95 °C",
        "observe": "by default: stops at 97 °C",
        "max_temp": "`--max-temp 95`",
        "balanced": "`--profile balanced` (88 °C)",
        "pressure": "`balanced`, levels of pressure alone",
        "token_times": "`balanced`, token times alone",
    }
    half, whole = (collapsing("none", each).tokens for each in (HALF_AN_HOUR_S, TWO_HOURS_S))
    return markdown(
        (
            "AIR", "hottest °C", "tokens/s, half an hour", "÷ none", "tokens/s, two hours",
            "÷ none", "clocks cut",
        ),
        (
            (
                name, f"{first.hottest_c:.1f}", per_second(first), f"{first.tokens / half:.3f}",
                per_second(second), f"{second.tokens / whole:.3f}", percent(second.throttled),
            )
            for sense, name in rows.items()
            for first in [collapsing(sense, HALF_AN_HOUR_S)]
            for second in [collapsing(sense, TWO_HOURS_S)]
        ),
    )  # fmt: skip


def harder() -> str:
    """The thin laptop at 85 °C, with something in the way."""

    def held(**how: Any) -> Trace:
        return run(U15, Governed(Settings(max_temp_c=85.0)), 85.0, **how)

    found = {
        "as above": held(),
        "a thermometer that is read every 5 s": held(every_s=5),
        f"{OTHER_W:.0f} W of other work for {OTHER_S} s": held(
            other_w=disturbed(OTHER_W, OTHER_FROM_S, OTHER_S)
        ),
        "a room of 35 °C": held(room_c=35.0),
        "a die that follows every pause (0.3 K/W, 0.2 s)": held(ripples=True),
    }
    table = markdown(
        ("U15, 85 °C", "overshoot °C", "RMS °C", "tokens/s", "J/token"),
        (
            (
                name, f"{trace.overshoot_c:.1f}", f"{trace.rms_c:.2f}", per_second(trace),
                f"{trace.j_per_token:.2f}",
            )
            for name, trace in found.items()
        ),
    )  # fmt: skip
    shares = (0.5, 0.95, 1.0)
    one, five = (
        " / ".join(
            f"{percentile(random_overshoots_c(every_s=every_s), share):.1f}" for share in shares
        )
        for every_s in (1, 5)
    )
    return (
        f"{table}\n\n"
        "Overshoot on 50 random plants, constants of a named one times ½ to 2, without firmware\n"
        f"(median / 95 of 100 / worst): {one} °C, with a thermometer of 5 s {five} °C."
    )


def fans() -> str:
    names = {
        "none": "no governor",
        "max_temp": "`--max-temp 72`",
        "quiet": "`--profile quiet`, no fan speed told (70 °C)",
        "quiet_rpm": "`--profile quiet`, fan speed told",
    }
    return markdown(
        ("U15 with a fan, two hours", "fan runs", "hottest °C", "tokens/s", "J/token"),
        (
            (
                names[mode], f"{percent(trace.fan)} of the time", f"{trace.hottest_c:.1f}",
                per_second(trace), f"{trace.j_per_token:.2f}",
            )
            for mode in names
            for trace in [fan(mode)]
        ),
    )  # fmt: skip


def flips() -> str:
    alone = {
        **{name: flips_an_hour(naive, seconds) for name, seconds in TRACES.items()},
        **{name: flips_an_hour(naive_floor, seconds) for name, seconds in FLOOR_TRACES.items()},
    }
    return markdown(
        ("battery and plug", "a threshold alone", "`battery`", "`auto`", "by default"),
        (
            (name, f"{flipped}", *(f"{governed_flips(name, each)}" for each in PROFILES))
            for name, flipped in alone.items()
        ),
    )


def shown(gate: Gate) -> str:
    """A figure as the page has it."""
    digits = {"s": 0, "": 3}.get(gate.unit, 2)
    value = "never" if math.isinf(gate.value) else f"{gate.value:.{digits}f}"
    return value if gate.met else f"**{value}** missed"


def gates() -> str:
    """A row a kind of figure, a column a laptop; what concerns no named laptop stands below."""
    columns = [str(case) for case in (*NAMED, QUIET)]
    named = [gate for gate in GATES if gate.where in columns]
    rows = {gate.name: gate for gate in named}
    found = {(gate.name, gate.where): shown(gate) for gate in named}
    first = markdown(
        ("figure", "gate", *(f"{column} °C" for column in columns)),
        (
            (name, bound(gate), *(found.get((name, column), "") for column in columns))
            for name, gate in rows.items()
        ),
    )
    others = [gate for gate in GATES if gate.where not in columns and gate.unit != "/h"]
    second = markdown(
        ("figure", "where", "gate", "reached"),
        ((gate.name, gate.where, bound(gate), shown(gate)) for gate in others),
    )
    misses = dict.fromkeys((gate.name, gate.missed) for gate in GATES if gate.missed)
    why = "\n".join(f"- {name}: {reason}." for name, reason in misses)
    reasons = f"\n\nWhy a gate is missed:\n\n{why}" if misses else ""
    return f"{first}\n\n{second}{reasons}"


def bound(gate: Gate) -> str:
    return f"{'≥' if gate.at_least else '≤'} {gate.bound:g} {gate.unit}".rstrip()


TABLES: dict[str, Callable[[], str]] = {
    "results": results,
    "collapse": collapse,
    "harder": harder,
    "fans": fans,
    "flips": flips,
    "gates": gates,
}


def markers(name: str) -> tuple[str, str]:
    return f"<!-- governor:{name}:begin -->", f"<!-- governor:{name}:end -->"


def region(page: str, name: str) -> str:
    """What stands between a table's markers."""
    begin, end = markers(name)
    if page.count(begin) != 1 or page.count(end) != 1:
        raise SystemExit(f"{PAGE}: expected one line {begin} and one {end}; put them there first")
    return page.partition(begin)[2].partition(end)[0].strip()


def write_tables() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        region(page, name)
        begin, end = markers(name)
        head, _, rest = page.partition(begin)
        page = f"{head}{begin}\n\n{table()}\n\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(page, encoding="utf-8")


# Pictures.


@dataclass(frozen=True)
class Row:
    """A quantity of a picture."""

    label: str
    top: float
    values: Callable[[Trace], list[float]]
    every_s: int


def draw(name: str, case: Case) -> None:
    """Temperature, duty and speed of each policy, beside each other on the same axes."""
    from matplotlib import pyplot
    from PIL import Image

    fastest = 1.08 * case.plant.full_tps
    rows = (
        Row("temperature, °C", case.plant.throttle_c + 8, lambda trace: trace.die_c, 1),
        Row("duty, %", 105, lambda trace: [100 * each for each in trace.duty], MEAN_S),
        Row("tokens per second", fastest, lambda trace: trace.tps, MEAN_S),
    )
    figure, axes = pyplot.subplots(
        len(rows), len(POLICIES), figsize=(10.4, 5.6), sharex=True, sharey="row",
        layout="constrained", height_ratios=(1.5, 1, 1),
    )  # fmt: skip
    for column, policy in enumerate(POLICIES):
        trace = traced(case, policy)
        colour = OURS if policy == "Lapwing" else THEIRS
        for axis, row in zip(axes[:, column], rows, strict=True):
            plot(axis, row, trace, colour)
        hot = axes[0, column]
        hot.axhline(case.set_c, color="black", linewidth=0.8, linestyle=(0, (4, 3)))
        hot.axhline(case.plant.throttle_c, color=LIMIT, linewidth=0.9)
        hot.set_title(policy, fontsize=10, color=colour, fontweight="bold", pad=20)
        hot.text(
            0.5, 1.04, f"{per_second(trace)} tokens/s, {trace.j_per_token:.2f} J/token",
            transform=hot.transAxes, ha="center", fontsize=8.5,
        )  # fmt: skip
        hot.set_ylim(20, rows[0].top)
        axes[-1, column].set_xlabel("minutes", fontsize=9)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(row.label, fontsize=9)
    empty = axes[0, POLICIES.index("fixed 50 %")]  # nothing runs through the words there
    empty.text(0.6, case.set_c - 1.2, "set-point", fontsize=8, va="top")
    limit_c = case.plant.throttle_c
    empty.text(0.6, limit_c + 0.6, "limit of the firmware", fontsize=8, color=LIMIT, va="bottom")
    figure.suptitle(
        f"Simulated laptop {case.plant.name}, set-point {case.set_c:.0f} °C "
        f"(duty and speed: means of {MEAN_S} s)",
        fontsize=11,
    )
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    pyplot.close(figure)
    picture = (
        Image.open(drawn).convert("RGB").quantize(64, method=Image.Quantize.MAXCOVERAGE)
    )  # less than half of the bytes
    picture.save(PICTURES / f"governor-{name}.png", optimize=True)


def plot(axis: Any, row: Row, trace: Trace, colour: str) -> None:
    values, every_s = row.values(trace), row.every_s
    means = [sum(values[i : i + every_s]) / every_s for i in range(0, len(values), every_s)]
    axis.plot([i * every_s / 60 for i in range(len(means))], means, color=colour, linewidth=1.1)
    axis.set_ylim(0, row.top)
    axis.set_xlim(0, len(values) / 60)
    axis.grid(color="#e4e8eb", linewidth=0.6)
    axis.tick_params(labelsize=8, length=2)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def write_pictures() -> None:
    import matplotlib

    matplotlib.use("Agg")
    PICTURES.mkdir(exist_ok=True)
    for name, case in DRAWN.items():
        draw(name, case)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tables", action="store_true", help="only these")
    parser.add_argument("--pictures", action="store_true", help="only these")
    arguments = parser.parse_args()
    if not arguments.pictures:
        write_tables()
    if not arguments.tables:
        write_pictures()


if __name__ == "__main__":
    main()
