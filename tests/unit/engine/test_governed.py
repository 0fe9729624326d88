"""Every actuator of the governor at the real engine: remove one, and its test here fails."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_senses import FakeSenses
from loading import TinyModels

import lapwing
from lapwing.engine import encoding
from lapwing.engine.acting import Hinting, Threads
from lapwing.engine.causal import CausalModel
from lapwing.errors import RequestError
from lapwing.power.governor.command import Command
from lapwing.power.governor.observation import Observation
from lapwing.power.governor.settings import Settings
from lapwing.power.pacing import debt
from lapwing.power.pacing.pacer import PACED_TOKENS
from lapwing.power.pacing.wishes import settings_of

PROMPT = [3, 1, 4, 1, 5]
LOW = Observation(on_battery=True, charge=0.3)
PLUGGED = Observation(on_battery=False, charge=0.3)


@pytest.fixture
def model(tiny_models: TinyModels) -> Iterator[CausalModel]:
    """int8 and int4 of the same planes, with a governor of its own."""
    with lapwing.load(str(tiny_models.directory("odd")), "int8", profile="observe") as model:
        assert isinstance(model, CausalModel)
        yield model


def governed(model: CausalModel, seen: Observation | None = None, **wishes: Any) -> FakeSenses:
    """From now on the machine says `seen`, and the governor wants this."""
    senses = FakeSenses(seen)
    model.governor._senses = senses  # type: ignore[assignment]
    model.governor.settings = settings_of(**wishes, environ={})
    return senses


def generate(model: CausalModel, tokens: int = 12, **wishes: Any) -> lapwing.GenerationResult:
    return model.generate(PROMPT, max_tokens=tokens, ignore_eos=True, **wishes)


# Pauses.


def test_pauses_between_tokens_change_none(
    model: CausalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debt, "MIN_PAUSE_S", 0.0)  # tokens of a tiny model take microseconds
    free = generate(model, 40)
    governed(model, power=25)
    paced = generate(model, 40)
    assert paced.tokens == free.tokens
    assert model.governor.pauses.paused_s > 0.0
    assert paced.duty == pytest.approx(0.25, abs=0.12)  # tiny pieces, and the last is never paid
    assert free.duty == 1.0
    assert paced.governor == ["observe: power 25 %, duty 0.25"]


def test_pauses_between_chunks_of_a_prompt_change_nothing(model: CausalModel) -> None:
    ids = (np.arange(model.context_length) % model.config.vocab_size).tolist()
    expected = model.forward(ids)
    governed(model, power=50)
    pieces = 0

    def counted() -> Any:
        nonlocal pieces
        pieces += 1
        return piece()

    piece, model.governor.piece = model.governor.piece, counted  # type: ignore[method-assign]
    np.testing.assert_array_equal(model.forward(ids), expected)
    assert pieces == -(-len(ids) // PACED_TOKENS)


def test_pauses_between_passes_of_an_encoder(
    tiny_encoders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debt, "MIN_PAUSE_S", 0.0)
    encoder = tiny_encoders.load("bert", "int8")
    governor = encoder.governor
    ids = [[5, 6, 7]] * 3
    expected = encoder(ids).last_hidden_state
    paused_s = governor.pauses.paused_s
    governor.settings = settings_of(power=10, environ={})
    try:
        for _ in range(3):
            np.testing.assert_array_equal(encoder(ids).last_hidden_state, expected)
        assert governor.pauses.paused_s > paused_s
    finally:
        governor.settings = Settings()


def test_passes_of_an_encoder_are_smaller_while_pauses_are_taken(
    tiny_encoders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = tiny_encoders.load("bert", "int8")
    monkeypatch.setattr(encoding, "PASS_BYTES", 12 * encoding.bytes_of_a_token(encoder.config))
    monkeypatch.setattr(encoding, "MIN_PASS_TOKENS", 3)
    governor, ids, passes = encoder.governor, [[5, 6, 7]] * 8, []
    encoder(ids[:1])  # is recorded

    def counted() -> Any:
        passes.append(governor.command.duty)
        return piece()

    piece = governor.piece
    monkeypatch.setattr(governor, "piece", counted)
    try:
        expected = encoder(ids).last_hidden_state
        assert passes == [1.0] * 2  # of 12 tokens
        governor.settings = settings_of(power=50, environ={})
        np.testing.assert_array_equal(encoder(ids).last_hidden_state, expected)
        assert passes[2:] == [0.5] * 8  # of 3
    finally:
        governor.settings = Settings()


# Precision.


def test_precision_at_the_border_of_a_request(model: CausalModel) -> None:
    expected = generate(model, dtype="int4").tokens
    senses = governed(model, LOW, profile="auto")
    low = generate(model)
    assert (low.tokens, low.dtype, low.power_source) == (expected, "int4", "battery")
    assert [(s.token, s.dtype) for s in low.precision_switches] == [(0, "int4")]
    assert "30%" in low.precision_switches[0].reason
    assert low.governor == ["battery: int4: battery 30%"]
    assert generate(model, dtype="int8").dtype == "int8"  # who names one gets it
    senses.seen = PLUGGED
    model.governor.tick()
    assert generate(model).dtype == "int4"  # a plug that flaps does not matter
    model.governor.speed = 1e9  # ten seconds a look, which is the most
    for _ in range(40):
        model.governor.tick()
    assert generate(model).dtype == "int8"


def test_by_default_an_answer_keeps_its_precision_to_the_end(model: CausalModel) -> None:
    senses = governed(model, PLUGGED, profile="auto")
    stream = model.stream(PROMPT, max_tokens=12, ignore_eos=True)
    next(stream)
    senses.seen = LOW
    model.governor.tick()
    for _ in stream:
        pass
    assert stream.result.precision_switches == []
    assert stream.result.dtype == "int8"


def test_precision_at_the_border_of_a_token_keeps_the_cache(model: CausalModel) -> None:
    """From the switch on, tokens are int4's given the cache that int8 has filled."""
    senses = governed(model, PLUGGED, profile="auto", switch_precision="token")
    stream = model.stream(PROMPT, max_tokens=12, ignore_eos=True)
    for _ in range(5):
        next(stream)
    senses.seen = LOW
    model.governor.tick()
    for _ in stream:
        pass
    result = stream.result
    assert [(s.token, s.dtype) for s in result.precision_switches] == [(5, "int4")]
    cache, pending = model.kv_cache(), PROMPT
    expected: list[int] = []
    for at in range(12):
        dtype = "int8" if at < 5 else "int4"
        logits, cache = model.forward_with_kv_cache(pending, cache, dtype=dtype, last_only=True)
        expected.append(int(np.argmax(logits[-1])))
        pending = expected[-1:]
    assert result.tokens == expected


def test_a_switch_by_hand_is_not_undone(model: CausalModel) -> None:
    governed(model, LOW, profile="auto", switch_precision="token")
    stream = model.stream(PROMPT, max_tokens=12, ignore_eos=True)
    next(stream)
    stream.switch("int8")
    for _ in stream:
        pass
    assert stream.result.dtype == "int8"


def test_never_means_never(model: CausalModel) -> None:
    governed(model, LOW, profile="auto", switch_precision="never")
    assert generate(model).dtype == "int8"


def test_a_model_without_int4_stays_what_it_is(tiny_models: TinyModels) -> None:
    with lapwing.load(str(tiny_models.directory("odd")), "f32") as model:
        assert isinstance(model, CausalModel)
        governed(model, LOW, profile="auto")
        result = generate(model)
        assert (result.dtype, result.precision_switches) == ("f32", [])


# Threads, memory, hints.


def test_threads_to_the_knee_and_back(model: CausalModel) -> None:
    model.threads = 4
    model.governor._knee = lambda: 2
    senses = governed(model, LOW, profile="auto")
    model.governor.tick()
    assert (model.threads, model.prefill_threads) == (2, 4)
    senses.seen = PLUGGED
    model.governor.tick()
    assert (model.threads, model.prefill_threads) == (4, 4)


def test_threads_that_somebody_set_meanwhile_stay(model: CausalModel) -> None:
    model.threads = 4
    act = Threads(model)
    lower, none = command(threads=2), command()
    act(lower)
    model.threads = 3
    act(none)
    assert model.threads == 3


def test_recorded_passes_go_under_memory_pressure(model: CausalModel) -> None:
    generate(model)
    assert model._passes._recorded._held
    expected = generate(model).tokens
    governed(model, Observation(memory_pressure=0.5))
    model.governor.tick()
    assert not model._passes._recorded._held
    assert generate(model).tokens == expected


class Told:
    """Hints that only listen."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def apply(self, qos: str) -> str | None:
        self.calls.append(qos)
        return None

    def release(self) -> None:
        self.calls.append("release")


def test_hints_to_the_system_come_and_go(model: CausalModel) -> None:
    told = Told()
    (hinting,) = [act for act in model.governor._actors if isinstance(act, Hinting)]
    hinting._hints = told
    governed(model, profile="quiet")
    model.governor.tick()
    assert told.calls == ["efficient"]
    model.governor.tick()
    model.governor.park()  # no work: nobody is held back meanwhile
    assert told.calls == ["efficient", "release"]
    model.governor.tick()
    assert told.calls[-1] == "efficient"
    model.governor.settings = settings_of(profile="background", environ={})
    model.governor.tick()
    assert told.calls[-1] == "background"
    model.close()
    assert told.calls[-1] == "release"


# Ends and admission.


def test_hardly_any_charge_ends_answers(model: CausalModel) -> None:
    senses = governed(model, PLUGGED, profile="auto")
    stream = model.stream(PROMPT, max_tokens=12, ignore_eos=True)
    for _ in range(3):
        next(stream)
    senses.seen = dataclasses.replace(LOW, charge=0.03)
    model.governor.tick()
    rest = list(stream)
    assert stream.result.finish_reason == "battery"
    assert len(stream.result.tokens) == 3
    assert rest == []


def test_a_spent_budget_ends_an_answer_and_tells_the_joules(model: CausalModel) -> None:
    governed(model, energy_budget=1e-3).watts = 1e6
    stream = model.stream(PROMPT, max_tokens=12, ignore_eos=True)
    next(stream)
    time.sleep(0.01)
    model.governor.tick()
    for _ in stream:
        pass
    result = stream.result
    assert result.finish_reason == "energy_budget"
    assert result.energy_j is not None
    assert result.energy_j > 1e-3
    assert result.energy_scope == "package"


def test_every_answer_of_a_batch_ends(model: CausalModel) -> None:
    governed(model, dataclasses.replace(LOW, charge=0.03), profile="battery")
    results = model.batch_generate([PROMPT] * 5, max_tokens=6, batch_size=2)
    assert [r.finish_reason for r in results] == ["battery"] * 5


def test_background_work_waits_until_it_is_admitted(model: CausalModel) -> None:
    senses = governed(model, LOW, profile="background")
    done: list[lapwing.GenerationResult] = []
    thread = threading.Thread(target=lambda: done.append(generate(model)))
    thread.start()
    time.sleep(0.3)
    assert not done
    senses.seen = Observation()
    thread.join(5.0)
    assert len(done[0].tokens) == 12


def test_cancel_from_another_thread(model: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debt, "MIN_PAUSE_S", 0.0)
    governed(model, power=1)
    stream = model.stream(PROMPT, max_tokens=50, ignore_eos=True)
    tokens = []

    def consume() -> None:
        for chunk in stream:
            tokens.append(chunk.token)

    thread = threading.Thread(target=consume)
    thread.start()
    time.sleep(0.2)
    began_s = time.perf_counter()
    stream.cancel()
    thread.join(5.0)
    assert time.perf_counter() - began_s < 0.12
    assert stream.result.finish_reason == "interrupted"
    assert 0 < len(tokens) < 50


# What a caller sees.


def test_results_say_what_is_not_known_and_why(model: CausalModel) -> None:
    governed(model)
    model.governor.tick()
    result = generate(model)
    assert (result.energy_j, result.power_source) == (None, None)
    assert result.unknown == {"energy_j": "no counter", "power_source": "no gauge"}
    assert result.to_dict()["unknown"]["energy_j"] == "no counter"


def test_a_profile_that_is_none_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(RequestError, match="profile: expected one of auto"):
        lapwing.load("no-such-model", profile="eco")


def command(threads: int | None = None) -> Command:
    return Command(1.0, threads, "normal", None, None, admit=True)
