"""int8 ↔ int4 in the middle of an answer: one set of planes, one cache, nothing loaded."""

from __future__ import annotations

import time
from unittest import mock

import pytest
from loading import TinyModels

import lapwing
from lapwing.engine.causal import CausalModel
from lapwing.engine.passes import Passes

PROMPT = list(range(1, 20))
TOKENS = 30


def by_hand(model: CausalModel, plan: list[str]) -> list[int]:
    """Greedy tokens, the pass of token i at plan[i], on one cache."""
    cache, ids, tokens = model.kv_cache(), PROMPT, list[int]()
    for dtype in plan:
        logits, _ = model.forward_with_kv_cache(ids, cache, dtype=dtype, last_only=True)
        ids = [int(logits[0].argmax())]
        tokens += ids
    return tokens


@pytest.mark.parametrize("loaded", ["int8", "int4"])
@pytest.mark.parametrize(("first", "then"), [("int8", "int4"), ("int4", "int8")])
def test_tokens_before_and_after(
    tiny_models: TinyModels, loaded: str, first: str, then: str
) -> None:
    with lapwing.load(tiny_models.directory("odd"), loaded, load="mapped") as model:
        assert isinstance(model, CausalModel)
        stream = model.stream(PROMPT, max_tokens=TOKENS, ignore_eos=True, dtype=first)
        prefilled = []
        with mock.patch.object(Passes, "run", autospec=True, side_effect=Passes.run) as runs:
            for at, _ in enumerate(stream, start=1):
                if at == 11:
                    stream.switch(then)
            prefilled = [len(call.args[1][0]) for call in runs.call_args_list]
        result = stream.result
        assert result.tokens == by_hand(model, [first] * 11 + [then] * (TOKENS - 11))
        assert result.tokens[:11] == by_hand(model, [first] * 11)
    assert prefilled == [len(PROMPT), *[1] * (TOKENS - 1)]  # the prompt ran once
    (switch,) = result.precision_switches
    assert (switch.token, switch.dtype, switch.reason) == (11, then, "asked for")
    assert result.dtype == then


def test_there_and_back(tiny_models: TinyModels) -> None:
    with lapwing.load(tiny_models.directory("base"), load="mapped") as model:
        assert isinstance(model, CausalModel)
        stream = model.stream(PROMPT, max_tokens=TOKENS, ignore_eos=True)
        for at, _ in enumerate(stream, start=1):
            stream.switch(("int8", "int4")[at // 5 % 2], reason=f"token {at}")
        plan = [("int8", "int4")[at // 5 % 2] for at in range(TOKENS)]
        assert stream.result.tokens == by_hand(model, plan)
    told = [(s.token, s.dtype, s.reason) for s in stream.result.precision_switches]
    assert told[:2] == [(5, "int4", "token 5"), (10, "int8", "token 10")]


def test_a_switch_takes_no_time(tiny_models: TinyModels) -> None:
    """Of a whole answer's token, not of a load: far below 50 ms, whatever the machine does."""
    with lapwing.load(tiny_models.directory("wide"), load="mapped") as model:
        stream = model.stream(PROMPT, max_tokens=9, ignore_eos=True)
        took_s = []
        for at, _ in enumerate(stream):
            began_s = time.perf_counter()
            stream.switch(("int4", "int8")[at % 2])
            took_s.append(time.perf_counter() - began_s)
    assert sorted(took_s)[len(took_s) // 2] < 0.05


def test_what_is_not_served_is_refused(tiny_models: TinyModels) -> None:
    with lapwing.load(tiny_models.directory("base"), "int4", load="eager") as model:
        stream = model.stream(PROMPT, max_tokens=3, ignore_eos=True)
        next(stream)
        with pytest.raises(lapwing.RequestError, match="serves int4; got int8"):
            stream.switch("int8")
        with pytest.raises(lapwing.RequestError, match="dtype: expected one of"):
            stream.switch("int5")
        list(stream)
        assert stream.result.dtype == "int4"
