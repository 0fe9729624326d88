"""From a budget of watts to a duty: the budget over what full work takes here."""

from __future__ import annotations

from dataclasses import dataclass

SMOOTHING_S = 5.0
MIN_DUTY = 0.1


@dataclass(frozen=True)
class Draw:
    """Between steps: watts of full work, as far as they are known."""

    active_w: float | None = None


def control(
    draw: Draw, watts: float | None, max_watts: float, last_duty: float, dt: float
) -> tuple[float, Draw]:
    """The duty that keeps the mean below `max_watts`. What is drawn at duty d counts as d · full.

    Idle watts are counted as work by that, so the duty errs on the side of the budget.
    """
    active_w = draw.active_w
    if watts is not None and watts > 0 and last_duty > 0:
        now_w = watts / last_duty
        share = min(1.0, dt / SMOOTHING_S)
        active_w = now_w if active_w is None else (1.0 - share) * active_w + share * now_w
    if active_w is None:
        return 1.0, draw
    return min(1.0, max(MIN_DUTY, max_watts / active_w)), Draw(active_w)
