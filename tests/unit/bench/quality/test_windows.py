"""Windows of a text: the documented case by hand, and what is refused."""

from __future__ import annotations

import pytest

from lapwing import RequestError
from lapwing.bench.quality.windows import Window, windows


def test_overlapping_windows_by_hand() -> None:
    """Ten tokens, windows of four, stride two: the last three windows score two tokens each."""
    assert windows(10, 4, 2) == [
        Window(0, 1, 4),
        Window(2, 4, 6),
        Window(4, 6, 8),
        Window(6, 8, 10),
    ]


def test_without_overlap_no_first_token_is_scored() -> None:
    assert windows(9, 4, 4) == [Window(0, 1, 4), Window(4, 5, 8)]


@pytest.mark.parametrize(
    ("tokens", "length", "stride", "what"),
    [(10, 4, 5, "stride"), (10, 4, 0, "stride"), (10, 1, 1, "window"), (1, 4, 2, "text")],
)
def test_refused(tokens: int, length: int, stride: int, what: str) -> None:
    with pytest.raises(RequestError, match=f"^{what}: expected"):
        windows(tokens, length, stride)
