"""Lists of numbers, as llama-bench writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapwing.bench.ranges import parse_numbers
from lapwing.errors import RequestError


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("4", (4,)),
        ("1,2,4", (1, 2, 4)),
        ("1-4", (1, 2, 3, 4)),
        ("1-8+3", (1, 4, 7)),
        ("128-1024*2", (128, 256, 512, 1024)),
        ("1-2,2,8", (1, 2, 8)),
        (" 1, 3-4", (1, 3, 4)),
    ],
)
def test_ranges_of_llama_bench(text: str, want: tuple[int, ...]) -> None:
    assert parse_numbers("-t", text) == want


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=20, unique=True))
def test_a_list_is_itself(numbers: list[int]) -> None:
    assert parse_numbers("-p", ",".join(map(str, numbers))) == tuple(numbers)


@given(st.integers(1, 500), st.integers(0, 400), st.integers(1, 50))
def test_a_range_is_pythons(first: int, span: int, step: int) -> None:
    want = tuple(range(first, first + span + 1, step))
    assert parse_numbers("-p", f"{first}-{first + span}+{step}") == want


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "-t: expected numbers like"),
        ("two", "got 'two'"),
        ("-1", "expected numbers like"),
        ("8-1", "ends before it begins"),
        ("1-8+0", "would never end"),
        ("0-8*2", "would never end"),
        ("1-8*1", "would never end"),
        ("0", "-t: expected numbers from 1 up, got 0"),
        ("1-5000", "more than 1000 numbers"),
        ("١-٣", "expected numbers like"),
        ("1" * 5000, "expected numbers like"),
    ],
)
def test_what_is_no_list_is_refused(text: str, told: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_numbers("-t", text)
    assert told in str(refused.value)


@given(st.text(max_size=30))
def test_any_text_is_a_list_or_refused(text: str) -> None:
    try:
        numbers = parse_numbers("-p", text)
    except RequestError:
        return
    assert numbers
    assert all(n >= 1 for n in numbers)
