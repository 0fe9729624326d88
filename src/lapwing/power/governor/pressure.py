"""From levels of thermal pressure to a duty, where no temperature is told (macOS, Windows).

Multiplicative decrease, additive increase, as congestion control has it (Chiu and Jain 1989).
"""

from __future__ import annotations

from dataclasses import dataclass

from lapwing.power.governor.observation import PressureLevel

DECREASE = 0.7
HOLD_S = 15.0  # what was decreased shows its effect before it is decreased again
CALM_S = 20.0  # nominal for so long
INCREASE = 0.01  # per second
MIN_DUTY = 0.1


@dataclass(frozen=True)
class Pressed:
    """Between steps. hold_s: until the next decrease may come; calm_s: nominal since."""

    duty: float = 1.0
    hold_s: float = 0.0
    calm_s: float = 0.0


def control(
    pressed: Pressed, level: PressureLevel | None, dt: float, increase: float = INCREASE
) -> tuple[float, Pressed]:
    """The duty. Moderate holds; an unknown level changes nothing. increase: of duty per second."""
    if level is None:
        return pressed.duty, pressed
    duty, hold_s = pressed.duty, max(0.0, pressed.hold_s - dt)
    calm_s = pressed.calm_s + dt if level == "nominal" else 0.0
    if level in ("heavy", "trapping") and hold_s == 0.0:
        duty, hold_s = max(MIN_DUTY, DECREASE * duty), HOLD_S
    elif calm_s >= CALM_S:
        duty = min(1.0, duty + increase * dt)
    return duty, Pressed(duty, hold_s, calm_s)
