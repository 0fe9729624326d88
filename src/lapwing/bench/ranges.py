"""Lists of numbers as llama-bench takes them: `1,2,4`, `1-8`, `1-8+2`, `128-1024*2`."""

from __future__ import annotations

import re

from lapwing.errors import RequestError

RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?:([+*])(\d{1,9}))?)?", re.ASCII)
MOST = 1000  # numbers of one list


def parse_numbers(option: str, text: str, least: int = 1) -> tuple[int, ...]:
    """Raises RequestError that names the option."""
    numbers: list[int] = []
    for part in text.split(","):
        numbers += _one(option, part.strip(), text)
        if len(numbers) > MOST:
            raise RequestError(f"{option}: more than {MOST} numbers in {text!r}")
    small = [n for n in numbers if n < least]
    if small:
        raise RequestError(f"{option}: expected numbers from {least} up, got {small[0]}")
    return tuple(dict.fromkeys(numbers))


def _one(option: str, part: str, text: str) -> list[int]:
    match = RANGE.fullmatch(part)
    if match is None:
        raise RequestError(
            f"{option}: expected numbers like 4, 1,2,4, 1-8, 1-8+2 or 128-1024*2; got {text!r}"
        )
    first, sign, by = int(match[1]), match[3], int(match[4] or 1)
    last = int(match[2] or first)
    if last < first:
        raise RequestError(f"{option}: {part!r} ends before it begins")
    if (sign == "*" and (by < 2 or first < 1)) or (sign != "*" and by < 1):
        raise RequestError(f"{option}: {part!r} would never end")
    numbers: list[int] = []
    number = first
    while number <= last and len(numbers) <= MOST:
        numbers.append(number)
        number = number * by if sign == "*" else number + by
    return numbers
