"""The pacer: what it decides, when it looks, and what it does to work and requests."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from fake_senses import FakeSenses

from lapwing.power.governor.command import Command
from lapwing.power.governor.observation import Observation
from lapwing.power.governor.settings import Settings
from lapwing.power.pacing.pacer import LOOK_AFTER_S, PACED_TOKENS, Pacer
from lapwing.power.pacing.wishes import settings_of


def pacer(settings: Settings | None = None, senses: Any = None, **wishes: Any) -> Pacer:
    wanted = settings or settings_of(environ={}, **wishes)
    return Pacer(wanted, model="m", senses=FakeSenses() if senses is None else senses)


def work(paced: Pacer, seconds: float = 0.01) -> None:
    with paced.piece():
        time.sleep(seconds)


def test_without_wishes_nothing_is_paused_and_nobody_looks_at_short_work() -> None:
    paced = pacer()
    for _ in range(5):
        work(paced, 0.001)
    assert paced.pauses.paused_s == 0.0
    assert paced.chunk_tokens is None
    assert not paced.watcher.awake
    assert not paced.governs


def test_it_looks_once_work_goes_on_without_a_gap() -> None:
    senses = FakeSenses()
    paced = pacer(senses=senses)
    began_s = time.perf_counter()
    while time.perf_counter() - began_s < LOOK_AFTER_S + 0.1:
        work(paced)
    assert paced.watcher.awake
    time.sleep(0.2)
    assert senses.looks == 1
    assert senses.told[0].model == "m"
    paced.close()


def test_half_of_the_time_is_worked() -> None:
    paced = pacer(power=50)
    began_s = time.perf_counter()
    while time.perf_counter() - began_s < 1.0:
        work(paced, 0.02)
    wall_s = time.perf_counter() - began_s
    assert paced.pauses.worked_s / wall_s == pytest.approx(0.5, abs=0.06)
    assert paced.chunk_tokens == PACED_TOKENS
    paced.close()


def test_a_share_of_power_can_be_changed_while_it_works() -> None:
    paced = pacer(power=10)
    work(paced)
    paced.settings = settings_of(power=100, environ={})
    began_s = time.perf_counter()
    for _ in range(5):
        work(paced, 0.01)
    assert time.perf_counter() - began_s < 0.09
    paced.close()


def test_two_threads_share_a_duty() -> None:
    paced = pacer(power=50)
    stop_s = time.perf_counter() + 1.0

    def run() -> None:
        while time.perf_counter() < stop_s:
            work(paced, 0.02)

    threads = [threading.Thread(target=run) for _ in range(2)]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    share = paced.pauses.worked_s / (time.perf_counter() - began_s)
    assert share == pytest.approx(0.5, abs=0.08)
    paced.close()


def test_a_first_token_is_not_paused_for_and_its_debt_is_paid_behind_it() -> None:
    paced = pacer(power=50)
    work(paced, 0.05)  # an earlier request leaves a debt
    request = paced.request(interactive=True)
    request.open()
    work(paced, 0.05)
    work(paced, 0.05)  # two chunks of a prompt
    assert paced.pauses.paused_s == 0.0
    paced.made(1, "int8")
    work(paced, 0.001)
    assert 0.09 < paced.pauses.paused_s < 0.13  # bit by bit: at most a tenth of a second at once
    request.close()
    paced.close()


def test_a_first_token_is_paused_for_where_it_is_hot() -> None:
    hot = FakeSenses(Observation(temperature_c=84.0, critical_c=100.0))
    paced = pacer(senses=hot, max_temp=85, power=50)
    request = paced.request(interactive=True)
    request.open()
    assert hot.looks == 1  # before it begins: there is a limit
    work(paced, 0.05)
    work(paced, 0.001)
    assert paced.pauses.paused_s > 0.03
    paced.close()


def test_work_stands_still_near_the_critical_temperature_and_goes_on_when_it_is_cooler() -> None:
    senses = FakeSenses(Observation(temperature_c=98.0, critical_c=100.0))
    paced = pacer(senses=senses, max_temp=85)
    paced.tick()
    assert paced.command.duty == 0.0
    done = threading.Event()

    def run() -> None:
        work(paced)
        done.set()

    threading.Thread(target=run).start()
    assert not done.wait(0.4)
    senses.seen = Observation(temperature_c=60.0, critical_c=100.0)
    assert done.wait(3.0)  # the watcher looks once a second
    paced.close()


def test_background_work_waits_for_the_plug_and_stops_when_it_is_pulled() -> None:
    senses = FakeSenses(Observation(on_battery=True, charge=0.9))
    paced = pacer(senses=senses, profile="background")
    passes = []
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            with paced.piece():
                passes.append(time.perf_counter())
                time.sleep(0.01)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    assert passes == []
    senses.seen = Observation()  # a machine that tells nothing of its supply: always plugged
    time.sleep(1.5)
    assert passes
    senses.seen = Observation(on_battery=True, charge=0.9)
    time.sleep(1.3)
    count = len(passes)
    time.sleep(0.3)
    assert len(passes) == count
    ended.set()
    paced.close()
    thread.join(3.0)
    assert not thread.is_alive()


def test_commands_that_change_are_acted_on_and_noted() -> None:
    senses = FakeSenses(Observation(on_battery=True, charge=0.3))
    paced = pacer(senses=senses, profile="auto")
    acted: list[Command] = []
    paced.on_change(acted.append)
    request = paced.request(interactive=True)
    request.open()
    assert acted[0].precision == "int4"
    assert acted[0].qos == "efficient"
    paced.tick()
    assert len(acted) == 1  # nothing new
    request.close()
    assert request.use.acted == ("battery: int4: battery 30%",)
    assert request.use.power_source == "battery"
    paced.close()
    assert acted[-1].qos == "normal"  # hints are taken back


def test_hardly_any_charge_ends_requests() -> None:
    paced = pacer(senses=FakeSenses(Observation(on_battery=True, charge=0.04)), profile="battery")
    request = paced.request(interactive=True)
    request.open()
    assert request.stop == "battery"
    paced.close()


def test_a_budget_of_joules_ends_the_request_that_spent_it_and_no_other() -> None:
    paced = pacer(senses=FakeSenses(watts=1000.0), energy_budget=100)
    first = paced.request(interactive=False)
    first.open()
    time.sleep(0.15)
    paced.tick()
    assert first.stop == "energy_budget"
    first.close()
    assert first.use.energy_j is not None
    assert first.use.energy_j > 100.0
    second, third = paced.request(interactive=False), paced.request(interactive=False)
    second.open()
    paced.tick()
    assert second.stop is None
    time.sleep(0.15)
    third.open()
    paced.tick()
    assert (second.stop, third.stop) == ("energy_budget", None)  # each has its own budget
    paced.close()


def test_a_budget_that_is_likely_to_end_an_answer_is_told_before_it_begins(
    caplog: pytest.LogCaptureFixture,
) -> None:
    paced = pacer(senses=FakeSenses(watts=100.0), energy_budget=50)
    first = paced.request(interactive=False)
    first.tokens = 10_000
    first.open()
    assert first.use.acted == ()  # nothing is known yet
    for _ in range(3):
        time.sleep(0.05)
        work(paced, 0.001)
        paced.made(10, "int8")
        paced.tick()
    first.close()
    assert paced.learned.joules_per_token == pytest.approx(0.5, rel=0.3)
    second = paced.request(interactive=False)
    second.tokens = 200
    second.open()
    (note,) = second.use.acted
    assert note.startswith("200 tokens take about ")
    assert "the budget of 50 J is likely to end them after " in note
    assert note in caplog.text
    third = paced.request(interactive=False)
    third.tokens = 20
    third.open()
    assert third.use.acted == ()
    paced.close()


def test_slow_tokens_are_noticed_without_any_sensor() -> None:
    paced = pacer(profile="balanced")
    for at in range(200):
        paced.pauses.ended_s, paced.pauses.last_s = time.perf_counter(), 0.01
        paced.made(1, "int8", at)
    paced.tick()
    assert paced.command.duty == 1.0
    for at in range(200, 260):
        paced.pauses.ended_s, paced.pauses.last_s = time.perf_counter(), 0.02
        paced.made(1, "int8", at)
        paced.made(1, "int4", at)  # another precision has times of its own
    paced.tick()
    assert paced.command.duty < 1.0
    assert "tokens have become slower" in paced.command.reasons
    paced.close()


def test_a_pulled_plug_changes_clocks_and_is_no_slowdown() -> None:
    senses = FakeSenses(Observation(on_battery=False))
    paced = pacer(senses=senses, profile="balanced")

    def tokens(seconds: float) -> None:
        for at in range(200):
            paced.pauses.ended_s, paced.pauses.last_s = time.perf_counter(), seconds
            paced.made(1, "int8", at)

    tokens(0.01)
    paced.tick()
    senses.seen = Observation(on_battery=True)
    tokens(0.02)
    paced.tick()
    tokens(0.02)
    paced.tick()
    assert paced.command.duty == 1.0
    paced.close()


def test_short_work_says_why_it_knows_no_joules() -> None:
    paced = Pacer(settings_of(environ={}))
    request = paced.request(interactive=True)
    request.open()
    work(paced)
    request.close()
    use = request.use
    assert use.duty == 1.0
    assert use.energy_j is None
    assert "over before anybody looked" in use.unknown["energy_j"]


def test_a_request_that_ran_no_pass_has_no_duty() -> None:
    request = pacer().request(interactive=True)
    request.open()
    request.close()
    assert (request.use.duty, request.use.unknown["duty"]) == (None, "no pass was run")


def test_cancel_ends_a_pause_at_once() -> None:
    paced = pacer(power=10)
    work(paced, 0.2)  # owes 1.8 s
    request = paced.request(interactive=False)
    request.open()
    thread = threading.Thread(target=work, args=(paced, 0.001))
    thread.start()
    time.sleep(0.1)
    began_s = time.perf_counter()
    request.cancel()
    thread.join(3.0)
    assert time.perf_counter() - began_s < 0.12
    assert request.stop == "interrupted"
    paced.close()
