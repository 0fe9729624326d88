"""One decision: the least duty that any limit asks for, and what comes before pauses.

Threads to where more gain little, the system's hint of efficiency and int4 cost fewer joules a
token than pauses at full speed, so modes that save take them first.
"""

from __future__ import annotations

from typing import Literal

from lapwing.power.governor import admission, fan, modes, precision, pressure, temperature, watts
from lapwing.power.governor.command import Command, Qos, Stop
from lapwing.power.governor.memory import Memory
from lapwing.power.governor.observation import Observation, PressureLevel
from lapwing.power.governor.settings import Mode
from lapwing.power.governor.state import State

FLOOR_DUTY = 0.5  # below the battery's floor
ABOVE_FLOOR = 0.05  # of the charge: so much more ends it, and a minute of mains does
EMPTY = 0.05  # of the charge: running requests end
GUESSED_DUTY = 0.5  # the least that token times alone ask for: heat is one of many reasons
PROBING = 0.0005  # of duty per second: a collapse is seen only when it has come back
BUSY = 0.10  # of the CPUs, used by others: that makes tokens slower, too
COLLAPSE = 0.5  # token time over what it was, less 1: firmware has taken the clocks away
LASTING_S = 10.0  # heat does not go in less; a machine's other work comes and goes
INTERACTIVE_S = 2.0  # of a waiting user's request, without pauses
INTERACTIVE_C = 5.0  # … while it is so far below the set-point
SPENT = 0.8  # of an energy budget, from where on its request reads int4
STALLED = 0.10  # of the time: caches shrink before anything swaps


def step(state: State, dt: float) -> Command:
    """Pure: the same state and dt (seconds) give the same command, and the memory to go on with."""
    seen, memory, settings = state.seen, state.memory or Memory(), state.settings
    time_s = memory.time_s + dt
    mode = modes.in_force(settings, seen)
    limits: list[tuple[float, str]] = [(settings.power, f"power {100 * settings.power:.0f} %")]

    quiet_c, fan_memory = fan.control(memory.fan, seen.fan_rpm, dt)
    set_c = modes.set_point_c(mode, settings, seen, quiet_c)
    duty, heat = _hold(memory, seen, set_c, dt)
    limits.append((duty, "" if seen.temperature_c is None else f"{seen.temperature_c:.0f} °C"))

    level: PressureLevel | None = seen.thermal_pressure if _acts(mode) else None
    duty, pressed = pressure.control(memory.pressed, level, dt)
    limits.append((duty, f"thermal pressure {seen.thermal_pressure}"))
    level, slow_s = _collapse(mode, seen, memory.slow_s, dt)
    duty, collapsed = pressure.control(memory.collapsed, level, dt, PROBING)
    limits.append((max(duty, GUESSED_DUTY), "tokens have become slower"))

    draw = memory.draw
    if settings.max_watts is not None:
        duty, draw = watts.control(draw, seen.watts, settings.max_watts, memory.duty, dt)
        limits.append((duty, f"{seen.watts:.1f} W" if seen.watts is not None else "watts"))

    why_not, waiting = admission.control(memory.waiting, seen, dt)
    low = _low(memory.low, seen, settings.battery_floor, waiting.ac_s)
    saves = mode in ("quiet", "battery", "background")
    by_charge = settings.follow or mode == "battery"
    warmth = precision.warmth(heat.duty) if saves else "cool"
    chosen, switching = precision.control(
        memory.switching,
        seen.on_battery if by_charge else None,
        seen.charge,
        time_s,
        dt,
        warmth,
        low=low,
    )
    bits, stop, reasons = _battery_and_budget(mode, state, chosen, warmth, low=low)
    if low and seen.on_battery:
        limits.append((FLOOR_DUTY, "battery" + _percent(seen.charge)))

    if mode == "background" and why_not is not None:
        reasons.append(f"waits: {why_not}")
    duty = min(limit for limit, _ in limits)
    far = duty > 0.0 and _far(seen, set_c)
    if far and seen.interactive_s is not None and seen.interactive_s <= INTERACTIVE_S:
        duty = settings.power  # what a user asked for is kept in any case
    reasons += [why for limit, why in limits if limit < 1.0 and limit == duty and why]
    qos: Qos = "background" if mode == "background" else "efficient" if saves else "normal"
    return Command(
        duty=duty,
        threads=state.knee_threads if saves else None,
        qos=qos,
        precision=bits,
        device=None,
        admit=why_not is None,
        memory=Memory(
            time_s,
            duty,
            heat,
            pressed,
            collapsed,
            draw,
            fan_memory,
            switching,
            waiting,
            low,
            slow_s,
        ),
        shed=seen.memory_pressure is not None and seen.memory_pressure >= STALLED,
        stop=stop,
        mode=mode,
        reasons=tuple(reasons),
        exempt=far,
    )


def _acts(mode: Mode) -> bool:
    """Whether the mode holds heat by itself, without a limit of the user's."""
    return mode not in ("observe", "performance")


def _hold(
    memory: Memory, seen: Observation, set_c: float | None, dt: float
) -> tuple[float, temperature.Heat]:
    """PI to the set-point; without one only the guard near the critical temperature."""
    if set_c is not None:
        return temperature.control(memory.heat, seen.temperature_c, set_c, seen.critical_c, dt)
    if seen.critical_c is not None:
        return temperature.guard(memory.heat, seen.temperature_c, seen.critical_c, dt)
    return 1.0, temperature.Heat()


def _collapse(
    mode: Mode, seen: Observation, slow_s: float, dt: float
) -> tuple[PressureLevel | None, float]:
    """Token times as a level of pressure, and for how long they have been slow.

    Modes that hold heat act early and at once, others on a collapse that lasts. Beside busy
    processes token times tell nothing.
    """
    if seen.slowdown is None:
        return None, slow_s
    has_other = seen.temperature_c is not None or seen.thermal_pressure is not None
    limit = COLLAPSE if has_other or not _acts(mode) else 0.15
    busy = seen.load is not None and seen.load >= BUSY
    if busy or seen.slowdown < limit:
        return "nominal", 0.0
    slow_s += dt
    return ("heavy" if _acts(mode) or slow_s >= LASTING_S else "moderate"), slow_s


def _far(seen: Observation, set_c: float | None) -> bool:
    """Whether heat is."""
    return set_c is None or seen.temperature_c is None or seen.temperature_c < set_c - INTERACTIVE_C


def _low(before: bool, seen: Observation, floor: float, ac_s: float) -> bool:
    """Below the battery's floor. A gauge's noise and a plug that flaps do not end it."""
    if seen.on_battery and seen.charge is not None:
        return seen.charge < floor + (ABOVE_FLOOR if before else 0.0)
    return before and ac_s < admission.STABLE_AC_S


def _percent(charge: float | None) -> str:
    return "" if charge is None else f" {100 * charge:.0f} %"


def _battery_and_budget(
    mode: Mode,
    state: State,
    chosen: precision.Precision,
    warmth: precision.Warmth,
    *,
    low: bool,
) -> tuple[Literal["int8", "int4"] | None, Stop | None, list[str]]:
    """Precision, end of running requests, and why."""
    seen, settings = state.seen, state.settings
    bits: Literal["int8", "int4"] | None = None
    stop: Stop | None = None
    reasons: list[str] = []
    if settings.switch_at != "never" and chosen == "int4":
        bits = "int4"
        on_charge = seen.on_battery and (low or warmth == "cool")
        charge = "" if seen.charge is None else f" {seen.charge:.0%}"
        why = f"battery{charge}" if on_charge else "heat" if warmth != "cool" else "for a while yet"
        reasons.append(f"int4: {why}")
    if seen.on_battery and seen.charge is not None and seen.charge < EMPTY and _acts(mode):
        stop = "battery"
    if settings.energy_budget_j is not None and seen.joules is not None:
        spent = seen.joules / settings.energy_budget_j
        if spent >= 1.0:
            stop = "energy_budget"
        elif spent >= SPENT and settings.switch_at != "never" and bits is None:
            bits = "int4"
            reasons.append(f"int4: {spent:.0%} of the energy budget")
    return bits, stop, reasons
