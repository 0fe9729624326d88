"""JSON to dataclasses, believing nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from lapwing.power.strict import decode


@dataclass(frozen=True)
class Inner:
    count: int


@dataclass(frozen=True)
class Outer:
    share: float
    kind: Literal["a", "b"] | None
    value: float | bool | str | None
    inner: dict[str, Inner]
    several: tuple[Inner, ...]


GOOD: dict[str, Any] = {
    "share": 1,
    "kind": "a",
    "value": True,
    "inner": {"x": {"count": 2}},
    "several": [{"count": 3}],
}


def test_what_fits() -> None:
    made = decode(Outer, GOOD)
    assert made == Outer(1.0, "a", True, {"x": Inner(2)}, (Inner(3),))
    assert type(made.share) is float
    assert made.value is True
    assert decode(Outer, {**GOOD, "kind": None, "value": "word"}).value == "word"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"share": True}, "share: expected float, got True"),
        ({"share": 10**400}, "share: expected a finite number, got a whole number"),
        ({"share": float("nan")}, "share: expected a finite number, got nan"),
        ({"share": None}, "share: expected float, got None"),
        ({"kind": "c"}, "kind: expected a or b, got 'c'"),
        ({"value": []}, "value: expected str, got a list"),
        ({"inner": []}, "inner: expected dict, got a list"),
        ({"inner": {"x": {"count": 2.0}}}, "count: expected int, got 2.0"),
        ({"several": [{"count": 3}, 4]}, "several[1]: expected an object, got a whole number"),
        ({"several": {}}, "several: expected tuple, got an object"),
        ({"more": 1}, "Outer: it has no field more"),
    ],
)
def test_what_does_not(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        decode(Outer, {**GOOD, **change})


def test_what_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"^Inner: count is not there$"):
        decode(Inner, {})
    with pytest.raises(ValueError, match=r"^Inner: expected an object, got 'x'$"):
        decode(Inner, "x")
