"""The governor at work: looks, decides once a second, and paces the passes of one model.

pacer = Pacer(settings_of(power=50))
with pacer.piece():          # pauses first, where the last piece left a debt
    logits = run_a_pass()
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from lapwing.power.governor.command import Command
from lapwing.power.governor.settings import Settings
from lapwing.power.pacing.learned import Learned
from lapwing.power.pacing.pauses import Pauses
from lapwing.power.pacing.request import Mark, PacedRequest, Used
from lapwing.power.pacing.watcher import Watcher

LOOK_AFTER_S = 0.2  # of work without a gap: shorter ones are not worth a look
LINGER_S = 2.0  # without work, and the thread sleeps
FIRST_TOKEN_S = 2.0  # of a first token are not paced
WAIT_S = 0.1  # between looks of a pass that may not run now
PACED_TOKENS = 64  # of a chunk of a prompt while pauses are taken

if TYPE_CHECKING:  # every model has a pacer; few requests are long enough for a look
    from lapwing.power.governor.observation import Observation
    from lapwing.power.pacing.senses import Senses
    from lapwing.power.pacing.status import Status

log = logging.getLogger("lapwing.power")

Act = Callable[[Command], None]


class Pacer:
    """Of one model. Passes run between its pauses; requests tell it who waits.

    command: what was decided last; act on it through `on_change` (from the thread that watches) and
    at the borders of requests, tokens and chunks. senses: None makes them at the first look. knee:
    beyond so many threads decode gains little; asked at the first look.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        model: str | None = None,
        senses: Senses | None = None,
        knee: Callable[[], int | None] = lambda: None,
        pauses: Pauses | None = None,
    ) -> None:
        self.model = model
        self.pauses = pauses or Pauses()
        self._senses, self._knee = senses, knee
        self._knee_threads: int | None = None
        self.learned = Learned()
        self._requests: frozenset[PacedRequest] = frozenset()  # replaced whole: threads read it
        self._actors: list[Act] = []
        self._turn = threading.Lock()  # paced work is of one thread at a time
        self._ticking, self._changing = threading.Lock(), threading.Lock()
        self._waiting = 0
        self._streak_s: float | None = None
        self._ticked_s: float | None = None
        self._exempt_until_s = 0.0
        self.speed = 1.0  # seconds of the machine in one of ours: more, where a plant stands for it
        self.watcher = Watcher(self)
        self.settings = settings or Settings()

    # What is wanted and what was decided.

    @property
    def settings(self) -> Settings:
        """May be set at any time: the next decision follows it; a share of power holds at once."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        unlimited = replace(settings, power=1.0, switch_at="request", battery_floor=0.15)
        # Whether it may act on more than a collapse: then it looks before it begins.
        self.governs = unlimited != Settings()
        self.command = Command(
            duty=settings.power, threads=None, qos="normal", precision=None, device=None,
            admit=settings.mode != "background", mode=settings.mode,
            reasons=(f"power {100 * settings.power:.0f} %",) if settings.power < 1.0 else (),
        )  # fmt: skip
        self._ticked_s = None
        self._parked = True  # the first decision is acted on, whatever it is

    @property
    def chunk_tokens(self) -> int | None:
        """Of a pass over a prompt, at most; None while nothing is paced."""
        return PACED_TOKENS if self.command.duty < 1.0 or self.governs else None

    @property
    def senses(self) -> Senses:
        """What the machine says."""
        if self._senses is None:
            from lapwing.power.pacing.senses import Senses

            self._senses = Senses.of_this_machine()
        return self._senses

    def on_change(self, act: Act) -> None:
        """Called with each command that differs from the one before; holds on to `act`."""
        self._actors.append(act)

    # Work.

    def piece(self) -> Piece:
        """A context manager around one pass."""
        return Piece(self)

    def before(self) -> bool:
        """Pauses, where any are owed or nothing may run now → whether the turn was taken."""
        command = self.command
        if command.duty >= 1.0 and (command.admit or command.mode != "background"):
            return False
        self._turn.acquire()
        try:
            self._wait_for_leave()
            if not self._first_token():
                self.pauses.pay(self.command.duty)
        except BaseException:
            self._turn.release()
            raise
        return True

    def after(self, began_s: float, *, turn: bool) -> None:
        """A pass has ended."""
        pauses = self.pauses
        last_s, duty = pauses.ended_s, self.command.duty
        if duty < 1.0:
            pauses.worked(began_s, duty if duty > 0.0 else 1.0, spread=self._first_token())
        else:
            pauses.worked(began_s, 1.0)
        if turn:
            self._turn.release()
        if self.watcher.awake:
            return
        if self._streak_s is None or last_s is None or began_s - last_s > LINGER_S:
            self._streak_s = began_s
        if self.governs or pauses.clock() - self._streak_s >= LOOK_AFTER_S:
            self.watcher.wake()

    def made(self, tokens: int, precision: str, context: int | None = None) -> None:
        """What the last pass gave: tokens of answers, or texts; sampling them was work, too.

        context: it was one token of one answer, behind so many: its time tells of slowdown.
        """
        self.pauses.went_on(self.command.duty)
        self.learned.made(tokens)
        self._exempt_until_s = 0.0
        if context is not None:
            self.learned.timed(precision, self.pauses.last_s, context)

    def _first_token(self) -> bool:
        return self.command.exempt and time.perf_counter() < self._exempt_until_s

    def _wait_for_leave(self) -> None:
        """While everything stands still (too hot), or background work is not admitted."""
        self._waiting += 1
        pauses, nudges = self.pauses, self.pauses.nudges
        try:
            while nudges == pauses.nudges and not pauses.closed and self._stands_still():
                self.watcher.wake()
                pauses.sleep(WAIT_S)
        finally:
            self._waiting -= 1

    def _stands_still(self) -> bool:
        command = self.command
        return command.duty <= 0.0 or (command.mode == "background" and not command.admit)

    # Requests.

    def request(self, *, interactive: bool) -> PacedRequest:
        """Somebody wants something; interactive: and waits for its first words."""
        return PacedRequest(self, interactive=interactive)

    def opened(self, request: PacedRequest) -> None:
        """Its work begins."""
        with self._changing:
            self._requests |= {request}
        if request.interactive:
            self._exempt_until_s = time.perf_counter() + FIRST_TOKEN_S
        if self.governs and self._ticked_s is None:
            self.tick()
        if self.governs:
            self.watcher.wake()
        if self.command.acts:
            request.note(str(self.command))
        why = self.learned.objection(request.tokens, self._settings.energy_budget_j)
        if why is not None:
            log.warning("%s", why)
            request.note(why)

    def closed(self, request: PacedRequest) -> None:
        """Its work has ended."""
        with self._changing:
            self._requests -= {request}

    def mark(self) -> Mark:
        """A moment, to be given to `since`."""
        return Mark(time.monotonic(), None) if self._senses is None else self._senses.joules.mark()

    def since(self, mark: Mark) -> Used:
        """Joules from a mark to now."""
        if self._senses is None:
            seconds = time.monotonic() - mark.time_s
            return Used(None, None, seconds, None, f"{seconds:.2f} s: over before anybody looked")
        return self._senses.joules.since(mark)

    def power_source(self) -> tuple[str | None, str]:
        """`mains` or `battery`; None, and why."""
        if self._senses is not None and self._ticked_s is not None:
            return self._senses.power_source()
        from lapwing.power.sensors import supply
        from lapwing.power.sensors.deadline import BoundedTree
        from lapwing.power.sensors.tree import open_tree

        source = supply.power_source(BoundedTree(open_tree()))
        return source, "" if source else "the system does not tell"

    # Once a second, in the thread that watches.

    def busy(self) -> bool:
        """Whether there has been work, or somebody waiting to, lately."""
        ended_s = self.pauses.ended_s
        recent = ended_s is not None and time.perf_counter() - ended_s < LINGER_S
        return recent or self._waiting > 0

    def tick(self) -> None:
        """Looks, decides, acts."""
        from lapwing.power.governor.state import State
        from lapwing.power.governor.step import step

        with self._ticking:
            now_s = time.monotonic()
            if self._ticked_s is None:
                self._knee_threads = self._knee()
            since_s = 1.0 if self._ticked_s is None else (now_s - self._ticked_s) * self.speed
            dt = min(max(since_s, 0.0), 10.0)
            self._ticked_s = now_s
            seen, last = self._seen(), self.command
            state = State(seen, last.memory, self._settings, self._knee_threads)
            self.command = command = step(state, dt)
            self._end_requests(command)
            if _differs(last, command):
                log.info("%s", command)
                for request in self._requests:
                    if command.acts or last.acts:
                        request.note(str(command))
            if _differs(last, command) or self._parked:
                self._act(command)
            self._parked = False
            self.senses.tell(self._status(seen.tokens / dt if dt else None))

    def close(self) -> None:
        """The thread ends, hints are taken back; pauses are cut short."""
        self.watcher.stop()
        self.pauses.close()
        if self._senses is not None:
            self.park()

    def park(self) -> None:
        """There is no work: counters are read once more, monitors are told, hints taken back."""
        with self._ticking:
            self.learned.rested()
            if self._senses is not None:
                self._senses.park()
            self._parked = True
            self._act(replace(self.command, qos="normal"))

    def _act(self, command: Command) -> None:
        for act in tuple(self._actors):
            act(command)

    def _seen(self) -> Observation:
        seen = self.senses.look()
        used = [request.net_joules() for request in self._requests]
        waits = [request.waited_s for request in self._requests if request.interactive]
        return replace(
            seen,
            slowdown=self.learned.slowdown(seen.on_battery),
            tokens=self.learned.taken(self.senses.joules.so_far),
            joules=max((joules for joules in used if joules is not None), default=None),
            interactive_s=min(waits, default=None),
        )

    def _status(self, tokens_per_s: float | None) -> Status:
        from lapwing.power.pacing.status import Status

        command = self.command
        return Status(
            pid=os.getpid(),
            time_s=time.time(),
            model=self.model,
            mode=command.mode,
            duty=command.duty,
            precision=command.precision,
            threads=command.threads,
            tokens_per_s=tokens_per_s,
            reasons=command.reasons,
        )

    def _end_requests(self, command: Command) -> None:
        budget_j = self._settings.energy_budget_j
        for request in self._requests if command.stop is not None else ():
            if command.stop == "battery" or (request.net_joules() or 0.0) >= (budget_j or 0.0):
                request.stop = request.stop or command.stop


class Piece:
    """One pass: pauses before it, its time is counted behind it."""

    __slots__ = ("_began_s", "_pacer", "_turn")

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer

    def __enter__(self) -> None:
        self._turn = self._pacer.before()
        self._began_s = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pacer.after(self._began_s, turn=self._turn)


def _differs(last: Command, command: Command) -> bool:
    """In what the engine does; a duty that moves a little is no news to anybody but the pauses."""
    same = replace(last, memory=command.memory, duty=command.duty, reasons=command.reasons)
    return same != command or (last.duty < 1.0) != (command.duty < 1.0)
