"""What the governor decides, done to a model: threads, memory, hints to the system.

Pauses are taken between passes (passes.py, encoding.py); precision changes, and answers end, at the
borders of requests and tokens (generate.py).
"""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING

from lapwing.power.governor.command import Command
from lapwing.power.pacing.pacer import Pacer

log = logging.getLogger("lapwing.power")

if TYPE_CHECKING:
    from lapwing.engine.model import Model
    from lapwing.power.pacing.hints import Hints


def bind(pacer: Pacer, model: Model) -> None:
    """From now on commands that change are acted on. Does not keep the model alive."""
    pacer.on_change(Threads(model))
    pacer.on_change(Memory(model))
    pacer.on_change(Hinting())


class Threads:
    """At most as many as the command has; then what they were."""

    def __init__(self, model: Model) -> None:
        self._model = weakref.ref(model)
        self._before: tuple[int, int] | None = None  # what they were, what they were made

    def __call__(self, command: Command) -> None:
        model = self._model()
        if model is None:
            return
        if command.threads is not None and self._before is None:
            fewer = min(model.threads, command.threads)
            self._before = model.threads, fewer
            _set(model, fewer)
        elif command.threads is None and self._before is not None:
            before, fewer = self._before
            self._before = None
            if model.threads == fewer:  # else somebody has set them since
                _set(model, before)


def _set(model: Model, threads: int) -> None:
    """Of passes of a few tokens, which wait for memory; those of prefill stay."""
    many = model.prefill_threads
    model.threads = threads
    model.prefill_threads = many


class Memory:
    """Caches shrink once each time that pressure begins."""

    def __init__(self, model: Model) -> None:
        self._model = weakref.ref(model)
        self._shed = False

    def __call__(self, command: Command) -> None:
        model = self._model()
        if model is not None and command.shed and not self._shed:
            model.shrink()
        self._shed = command.shed


class Hinting:
    """Tells the system how urgent this process is."""

    def __init__(self, hints: Hints | None = None) -> None:
        self._hints = hints
        self._qos = "normal"

    def __call__(self, command: Command) -> None:
        if command.qos == self._qos:
            return
        self._qos = command.qos
        if self._hints is None:
            from lapwing.power.pacing.hints import system_hints

            self._hints = system_hints()
        if command.qos == "normal":
            self._hints.release()
        elif why_not := self._hints.apply(command.qos):
            log.info("%s: not all of it can be told to the system: %s", command.qos, why_not)
