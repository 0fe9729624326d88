"""What a caller asks of the governor."""

from __future__ import annotations

from typing import Any

import pytest

from lapwing.errors import RequestError
from lapwing.power.governor.settings import Settings
from lapwing.power.pacing.wishes import settings_of


def test_nothing_asked_is_observe() -> None:
    assert settings_of(environ={}) == Settings()


def test_auto_follows_the_power_source() -> None:
    assert settings_of("auto", environ={}) == Settings(mode="observe", follow=True)
    assert settings_of(environ={"LAPWING_PROFILE": "auto"}).follow
    assert not settings_of("quiet", environ={"LAPWING_PROFILE": "auto"}).follow


def test_limits() -> None:
    settings = settings_of(
        power=25, max_temp=80, max_watts=15, energy_budget=200, battery_floor=20,
        switch_precision="token", environ={},
    )  # fmt: skip
    assert settings == Settings(
        power=0.25, max_temp_c=80.0, max_watts=15.0, energy_budget_j=200.0, battery_floor=0.2,
        switch_at="token",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wishes", "text"),
    [
        ({"profile": "turbo"}, "profile: expected one of auto, observe"),
        ({"power": 0}, "power: expected 1 to 100 percent, got 0"),
        ({"power": 101}, "power: expected 1 to 100"),
        ({"power": True}, "power: expected"),
        ({"power": "50"}, "power: expected"),
        ({"power": float("nan")}, "power: expected"),
        ({"max_temp": 20}, "max_temp: expected 30 to 110 °C, got 20"),
        ({"max_watts": -1}, "max_watts: expected"),
        ({"energy_budget": 0}, "energy_budget: expected"),
        ({"battery_floor": 150}, "battery_floor: expected 0 to 100 percent, got 150"),
        ({"switch_precision": "layer"}, "switch_precision: expected one of request, token, never"),
    ],
)
def test_mistakes_are_named(wishes: dict[str, Any], text: str) -> None:
    with pytest.raises(RequestError, match=text):
        settings_of(**wishes, environ={})


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(RequestError, match="LAPWING_PROFILE: expected one of"):
        settings_of(environ={"LAPWING_PROFILE": "eco"})
