"""Text for quantities. Values are SI everywhere else; they meet a unit prefix only here."""

from __future__ import annotations

import re


def format_bytes(count: float) -> str:
    """`3_100_000` → `'3.0 MiB'`: binary prefixes, one decimal from KiB up."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def format_seconds(seconds: float) -> str:
    """`0.0123` → `'12.3 ms'`, `75` → `'1 min 15 s'`."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def format_reading(value: float | bool | str | None, unit: str) -> str:
    """Of a sensor: `(71.0, "°C")` → `'71.0 °C'`, `(0.74, "1")` → `'0.74'`, `(None, …)` → `'–'`."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    number = f"{value:.2f}" if unit == "1" and value % 1 else f"{value:.0f}"
    if unit in ("°C", "W", "s"):
        number = f"{value:.1f}"
    return number if unit in ("", "1") else f"{number} {unit}"


def format_rate(per_second: float | None, what: str = "tokens") -> str:
    """`41.27` → `'41.3 tokens/s'`; `None` (not measured) → `'–'`."""
    return "–" if per_second is None else f"{per_second:.1f} {what}/s"


def parse_bytes(text: str) -> int | None:
    """`'2GB'` → 2·10⁹, `'1.5 GiB'` → 1.5·2³⁰, `'4096'` → 4096; None for what is no size."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kKMGT]?)(i?)B?\s*", text)
    if match is None or (match[3] and not match[2]):
        return None
    return int(
        float(match[1]) * (1024 if match[3] else 1000) ** " KMGT".index(match[2].upper() or " ")
    )
