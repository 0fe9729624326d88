"""The governor for a command: what was asked of it, and what it did, in a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lapwing.cli.terminal import say

if TYPE_CHECKING:
    from lapwing.engine.model import Model
    from lapwing.engine.result import GenerationResult
    from lapwing.power.governor.command import Command


FILE = "told.json"  # what was said once


@dataclass(frozen=True)
class Governing:
    """Options as given; `checked` before a model is loaded."""

    profile: str | None = None
    power: float = 100
    max_temp: float | None = None
    max_watts: float | None = None
    energy_budget: float | None = None
    battery_floor: float | None = None
    switch_precision: str = "request"

    def checked(self) -> dict[str, Any]:
        """Arguments of `lapwing.load`. Raises RequestError."""
        from lapwing.power.pacing.wishes import settings_of

        arguments = dict(self.__dict__)
        settings_of(**arguments)
        return arguments


def describe(result: GenerationResult) -> list[str]:
    """`quiet: 71 °C, duty 0.80, int4`, where the governor acted; joules, where they are known."""
    parts = [] if result.energy_j is None else [f"{result.energy_j:.1f} J ({result.energy_scope})"]
    if result.governor:
        parts.append(result.governor[-1])
    return parts


def tell_of_waiting(model: Model) -> None:
    """From now on: that background work waits, and why; and that it goes on."""
    waits = False

    def act(command: Command) -> None:
        nonlocal waits
        if command.mode != "background" or waits is not command.admit:
            return
        waits = not command.admit
        say(f"{command}" if waits else "background: goes on", "note")

    model.governor.on_change(act)


def introduce_battery(model: Model, result: GenerationResult) -> None:
    """Once on a machine, on battery: that a governor exists."""
    if result.power_source != "battery" or model.governor.settings.follow:
        return
    from lapwing.weights import notes

    if notes.recall(FILE).get("battery"):
        return
    if notes.remember(FILE, {"battery": True}):
        say(
            "on battery: --profile auto (or LAPWING_PROFILE=auto) saves charge while unplugged; "
            "--power 50 works half of the time. This is said once.",
            "note",
        )
