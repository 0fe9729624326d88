"""Markdown: losing rows first, then the headline, then everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.measure.rows import Results, Row, Skip
from lapwing.bench.measure.stats import bootstrap_ratio

EQUAL = 1.02  # quality within two per cent counts as equal: texts are finite


@dataclass(frozen=True)
class Headline:
    """Lapwing at equal or better quality beside a peer's best setting."""

    peer: Row
    ours: Row
    ratio: float
    low: float
    high: float


def best_settings(found: Iterable[Row]) -> list[Row]:
    """Of each runtime and quantization on each workload, its fastest setting."""
    best: dict[tuple[object, ...], Row] = {}
    for row in found:
        key = (*row.key, row.runtime, row.quantization)
        if key not in best or row.median_s < best[key].median_s:
            best[key] = row
    return list(best.values())


def losing_first(found: Sequence[Row]) -> list[Row]:
    """Where Lapwing is slower comes first, the worst of them on top; its own rows come last."""
    return sorted(found, key=lambda row: (row.ratio is None, row.ratio or 0, row.median_s))


def losses(found: Sequence[Row]) -> list[Row]:
    """Peers' best settings that are faster than Lapwing at the same precision."""
    compared = [row for row in best_settings(found) if row.ratio is not None and row.ratio < 1]
    return losing_first(compared)


def badness(row: Row, known: Mapping[tuple[str, str], float]) -> float | None:
    """How far from float32, smaller is better: its own, or what its runtime showed on `tales`."""
    own = None if row.cosine is None else 1 - row.cosine
    own = row.kl_nats if row.kl_nats is not None else own
    return own if own is not None else known.get((row.runtime, row.quantization))


def headlines(found: Sequence[Row]) -> list[Headline]:
    """Each peer's best setting beside the fastest of ours that is at least as near to float32."""
    known = {
        (row.runtime, row.quantization): row.kl_nats
        for row in found
        if row.model == "tales" and row.kl_nats is not None
    }
    result = []
    for peer in best_settings(found):
        theirs = badness(peer, known)
        if peer.runtime == "lapwing" or theirs is None:
            continue
        ours = [
            row
            for row in found
            if row.runtime == "lapwing"
            and row.key == peer.key
            and (badness(row, known) or 0) <= max(theirs, 1e-6) * EQUAL
        ]
        if ours:
            fastest = min(ours, key=lambda row: row.median_s)
            ratio = bootstrap_ratio(peer.seconds, fastest.seconds)
            result.append(Headline(peer, fastest, ratio.value, ratio.low, ratio.high))
    return sorted(result, key=lambda each: each.ratio)


def page(suite: str, results: Results, pictures: Sequence[str] = ()) -> str:
    """One suite's."""
    parts = [f"# {suite}", context_lines(results), "## Where Lapwing is slower", slower(results)]
    leading = headlines(results.rows)
    if leading:
        parts += ["## At equal or better quality", HEADLINE, headline_table(leading)]
    parts += [f"![{name}]({name})" for name in pictures]
    for key in dict.fromkeys(row.key for row in results.rows):
        mine = [row for row in results.rows if row.key == key]
        parts += [f"## {key[1]}, {key[2]}", table(losing_first(mine))]
        if notes := sorted({row.floor for row in mine if row.floor_s is None and row.floor}):
            parts.append(f"No floor: {'; '.join(notes)}.")
        if told := sorted({row.quality for row in mine if row.quality}):
            parts.append(f"Quality: {'; '.join(told)}.")
    parts += ["## Not measured", skipped(results.skips)]
    return "\n\n".join(parts) + "\n"


HEADLINE = (
    "Lapwing's fastest dtype that is at least as near to float32 as the peer (on random weights, "
    "as both were on `tales`), beside the peer's best setting; × is how many times as fast "
    "Lapwing is."
)


ALONE = "No other runtime was measured; Lapwing's own rows are in the results."


def summary(found: Mapping[str, Results]) -> str:
    """For the README: what loses, then the best peer of each workload."""
    parts = []
    for suite, results in found.items():
        parts.append(f"**{suite}**, {one_line(results)}")
        if all(row.runtime == "lapwing" for row in results.rows):
            parts.append(ALONE)
            continue
        if known := hardest(results.rows):
            parts.append(headline_table(known))
        else:
            parts.append("No quality was measured beside these rows: see the results.")
        if lost := losses(results.rows):
            names = [f"{r.model} {r.workload} {r.runtime} {r.quantization} ({r.ratio:.2f} ×)"
                     for r in lost]  # fmt: skip
            parts.append(f"Slower at the same precision, {len(lost)} in all: {'; '.join(names)}.")
    return "\n\n".join(parts)


def hardest(found: Sequence[Row]) -> list[Headline]:
    """Of each workload and dtype of ours, the peer that comes nearest."""
    nearest: dict[tuple[object, ...], Headline] = {}
    for each in headlines(found):
        key = (*each.peer.key, each.ours.precision)
        if key not in nearest or each.ratio < nearest[key].ratio:
            nearest[key] = each
    return sorted(nearest.values(), key=lambda each: each.ratio)


def context_lines(results: Results) -> str:
    """Where and how."""
    c, run = results.context, results.context.get("run", {})
    power = c.get("power") or {}
    governor = f"governor {c['governor']}" if c.get("governor") else c.get("governor_reason")
    on_ac = {True: "mains", False: "battery", None: power.get("reason", "power source unknown")}
    facts = [
        f"{c.get('cpu')}, {c.get('cpus')} CPUs, Linux {c.get('kernel')}, {c.get('time')}",
        f"{run.get('threads')} threads, {run.get('rounds')} rounds, order drawn from seed "
        f"{run.get('seed')}{', quick' if run.get('quick') else ''}",
        f"load average {c.get('load_average')}, {governor}, {on_ac[power.get('on_ac')]}",
        f"revision {c.get('revision')}{', modified' if c.get('modified') else ''}, "
        f"Python {c.get('python')}",
    ]
    if held_to := run.get("held_to"):
        facts.append(f"instruction sets held to {', '.join(map('='.join, held_to.items()))}")
    for name, told in (c.get("peers") or {}).items():
        build = f": {told['build']}" if told.get("build") else ""
        facts.append(f"{name} {told.get('version') or ''}{build}")
    return "\n".join(f"- {fact}" for fact in facts)


def one_line(results: Results) -> str:
    """The context in a few words."""
    c, run = results.context, results.context.get("run", {})
    held_to = (run.get("held_to") or {}).get("LAPWING_ISA")
    limit = f", everyone held to {held_to}" if held_to else ""
    return f"{c.get('cpu')}, {run.get('threads')} threads, {run.get('rounds')} rounds{limit}"


def slower(results: Results) -> str:
    """A table, or that there is nothing in it."""
    if lost := losses(results.rows):
        return table(lost)
    if all(row.runtime == "lapwing" for row in results.rows):
        return ALONE
    return "Nowhere, at the same precision and the peer's best setting."


def headline_table(found: Sequence[Headline]) -> str:
    """Markdown."""
    head = ("model", "workload", "peer", "its rate", "Lapwing", "rate", "×", "95 %")
    return markdown(
        head,
        (
            (
                each.peer.model,
                each.peer.workload,
                f"{each.peer.runtime} {each.peer.quantization}",
                rate(each.peer),
                each.ours.precision,
                rate(each.ours),
                f"{each.ratio:.2f}",
                f"{each.low:.2f}–{each.high:.2f}",
            )
            for each in found
        ),
    )


def table(found: Sequence[Row]) -> str:
    """Markdown: every column of a row that a reader compares by."""
    head = (
        "model", "workload", "runtime", "quantization", "setting", "median", "p5–p95", "rate",
        "Lapwing is × as fast", "95 %", "bits/weight", "MB read/unit", "RSS MB", "PSS MB",
        "private MB", "share of floor", "quality", "more",
    )  # fmt: skip
    return markdown(
        head,
        (
            (
                row.model,
                row.workload,
                row.runtime,
                row.quantization,
                row.setting,
                seconds(row.median_s),
                f"{seconds(row.p5_s)}–{seconds(row.p95_s)}",
                rate(row),
                "" if row.ratio is None else f"{row.ratio:.2f}",
                "" if row.ratio is None else f"{row.ratio_low:.2f}–{row.ratio_high:.2f}",
                number(row.bits_per_weight),
                number(row.bytes_per_token, 1e6),
                number(row.resident_bytes, 1e6, 0),
                number(row.pss_bytes, 1e6, 0),
                number(row.private_bytes, 1e6, 0),
                "" if row.floor_share is None else f"{row.floor_share:.0%}",
                quality(row),
                more(row),
            )
            for row in found
        ),
    )


def more(row: Row) -> str:
    """What only some suites have."""
    parts = []
    for key, value in row.extra.items():
        if value is None or key in ("note", "load_s", "after_load"):
            continue
        if key == "disturbed_samples":
            parts.append(f"{value} samples disturbed")
            continue
        name = key.removesuffix("_s").replace("_", " ")
        parts.append(f"{name} {seconds(value)}" if key.endswith("_s") else f"{name} {value:.0%}")
    if "after_load" in row.extra:
        parts.insert(0, f"load {seconds(row.extra['load_s'])}")
        parts.append(f"PSS after load {number(row.extra['after_load']['pss_bytes'], 1e6, 0)} MB")
    return ", ".join(parts)


def quality(row: Row) -> str:
    """In its own unit; empty where there is none."""
    parts = []
    if row.kl_nats is not None:
        parts.append(f"KL {row.kl_nats:.2g}")
    if row.cosine is not None:
        parts.append(f"cosine {row.cosine:.4f}")
    if row.spearman is not None:
        parts.append(f"Spearman {100 * row.spearman:.2f}")
    return ", ".join(parts)


def skipped(skips: Sequence[Skip]) -> str:
    """Reasons, each with all that it holds for."""
    where: dict[tuple[str, str], list[str]] = {}
    for skip in skips:
        place = " ".join(part for part in (skip.model, skip.workload, skip.quantization) if part)
        where.setdefault((skip.runtime, skip.reason.splitlines()[0]), []).append(place)
    return markdown(
        ("runtime", "reason", "where"),
        (
            (runtime, reason.replace("|", "/"), ", ".join(dict.fromkeys(filter(None, places))))
            for (runtime, reason), places in where.items()
        ),
    )


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join(lines)


def seconds(value: float) -> str:
    """With three digits."""
    return f"{1e3 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def rate(row: Row) -> str:
    """Units a second."""
    return f"{row.rate:.4g} {row.unit}s/s"


def number(value: float | None, unit: float = 1, digits: int = 2) -> str:
    """Empty for what is not known."""
    return "" if value is None else f"{value / unit:.{digits}f}"
