"""From a temperature to a duty: proportional-integral control with a hard guard.

Gains by the SIMC rule for an integrating process, Kc = 1/(s0·(τc + θ)), Ti = 4·(τc + θ) (Skogestad
2003), for a chip that warms by 1 K/s at full work, τc = 10 s, θ = 2.5 s; Ti is a fifth shorter.
"""

from __future__ import annotations

from dataclasses import dataclass

GAIN = 0.08  # of duty per °C
INTEGRAL_S = 40.0  # 50 by the rule; with 40 a chassis that warms for minutes is followed closely
DEADBAND_C = 0.5  # sensors of 1 °C
MIN_DUTY = 0.1
RELEASE = 0.05  # of duty per second, upwards; downwards at once
BACKLASH = 0.07  # the duty that is told follows from so far: a thermometer's step is 0.08 of duty
GUARD_C = 3.0  # so near to the critical temperature everything stops
GUARD_REST_C = 5.0  # … until it is so far below the set-point
GUARD_S = 30.0  # … or for so long


@dataclass(frozen=True)
class Heat:
    """Between steps. duty: as the law has it; told: what is done, which follows it with backlash.

    guarded_s: how long everything has stood still; None: it does not.
    """

    integral: float = 1.0
    duty: float = 1.0
    guarded_s: float | None = None
    told: float = 1.0


def control(
    heat: Heat, temperature_c: float | None, set_c: float, critical_c: float | None, dt: float
) -> tuple[float, Heat]:
    """The duty that holds `set_c`; 0 while the guard stands. A missing reading changes nothing."""
    if temperature_c is None:
        return heat.told, heat
    if guarded := _guarded(heat, temperature_c, set_c, critical_c, dt):
        return guarded
    error = set_c - temperature_c
    if abs(error) <= DEADBAND_C:
        error = 0.0
    wanted = heat.integral + GAIN * error
    duty = min(max(wanted, MIN_DUTY), 1.0, heat.duty + RELEASE * dt)
    saturated = (wanted >= 1.0 and error > 0) or (wanted <= MIN_DUTY and error < 0)
    integral = heat.integral
    if not saturated:  # else it would wind up
        integral = min(max(integral + GAIN / INTEGRAL_S * error * dt, MIN_DUTY), 1.0)
    told = min(max(heat.told, duty - BACKLASH), duty + BACKLASH) if MIN_DUTY < duty < 1.0 else duty
    return told, Heat(integral, duty, told=told)


def guard(
    heat: Heat, temperature_c: float | None, critical_c: float, dt: float
) -> tuple[float, Heat]:
    """Without a set-point: full duty, but for the guard and the slow release behind it."""
    if temperature_c is None:
        return heat.told, heat
    if guarded := _guarded(heat, temperature_c, critical_c - GUARD_C, critical_c, dt):
        return guarded
    duty = min(1.0, heat.told + RELEASE * dt)
    return duty, Heat(1.0, duty, told=duty)


def _guarded(
    heat: Heat, temperature_c: float, set_c: float, critical_c: float | None, dt: float
) -> tuple[float, Heat] | None:
    """None: the guard does not act. Afterwards work begins again at the least duty."""
    if heat.guarded_s is None:
        if critical_c is None or temperature_c < critical_c - GUARD_C:
            return None
        return 0.0, Heat(MIN_DUTY, 0.0, 0.0, told=0.0)
    if heat.guarded_s + dt < GUARD_S and temperature_c > set_c - GUARD_REST_C:
        return 0.0, Heat(MIN_DUTY, 0.0, heat.guarded_s + dt, told=0.0)
    return MIN_DUTY, Heat(MIN_DUTY, MIN_DUTY, told=MIN_DUTY)
