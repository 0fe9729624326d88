"""Answers made together are the answers made alone: every comparison is equality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import TinyModels, needs_core
from tiny import random_ids

from lapwing import GenerationResult, Model, RequestError
from lapwing.backends.cpu import CpuBackend
from lapwing.engine import passes

pytestmark = needs_core  # NumPy's products may differ with the number of rows

V = 2048
PROMPTS = [random_ids(seed, 1 + 3 * seed, V) for seed in range(7)]


@pytest.fixture
def model(tiny_models: TinyModels) -> Model:
    """Random weights, the bundled vocabulary, planes for int8 and int4."""
    return tiny_models.load("base", "int8", text=True)


def content(result: GenerationResult) -> dict[str, Any]:
    """All but what it took."""
    took = ("timings", "duty", "governor", "unknown")
    return {**result.to_dict(), **dict.fromkeys(took)}


chances = st.floats(0, 1)
wishes = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 20), "seed": st.integers(0, 9)},
    optional={
        "temperature": st.sampled_from([0.0, 0.7, 1.0, 3.0]),
        "top_k": st.integers(0, 300),
        "top_p": chances,
        "min_p": chances,
        "typical_p": chances,
        "repetition_penalty": st.floats(0.5, 2),
        "presence_penalty": st.floats(-2, 2),
        "frequency_penalty": st.floats(-2, 2),
        "logit_bias": st.dictionaries(st.integers(0, V - 1), st.floats(-100, 100), max_size=4),
        "stop": st.lists(st.text("aeiou nrst", min_size=1, max_size=2), max_size=3),
        "stop_token_ids": st.lists(st.integers(0, V - 1), max_size=200),
        "ignore_eos": st.booleans(),
        "logprobs": st.integers(0, 3),
        "dtype": st.sampled_from(["int8", "int4"]),
    },
)


def test_together_is_alone(model: Model) -> None:
    """Any prompts, each with any parameters, in any order, any number at once."""

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from(PROMPTS), wishes), min_size=1, max_size=9),
        st.integers(1, 9),
        st.randoms(use_true_random=False),
    )
    def check(asked: list[tuple[list[int], dict[str, Any]]], at_once: int, random: Any) -> None:
        want = [content(model.generate(prompt, **how)) for prompt, how in asked]
        order = random.sample(range(len(asked)), len(asked))
        got = model.batch_generate(
            [asked[i][0] for i in order], [asked[i][1] for i in order], batch_size=at_once
        )
        assert [content(result) for result in got] == [want[i] for i in order]

    check()


@pytest.mark.parametrize("dtype", ["f32", "f16", "int8", "int4"])
def test_together_is_alone_at_every_dtype(tiny_models: TinyModels, dtype: str) -> None:
    model = tiny_models.load("odd", dtype)
    prompts = [random_ids(seed, 2 + seed, 97) for seed in range(5)]
    how = {"max_tokens": 25, "temperature": 1.0, "seed": 4, "ignore_eos": True, "logprobs": 2}
    want = [content(model.generate(prompt, **how)) for prompt in prompts]
    assert [content(result) for result in model.batch_generate(prompts, **how)] == want


def test_long_prompts_are_cut_into_passes(tiny_models: TinyModels) -> None:
    """More tokens than a pass holds: prompts begin, and answers go on, in the same ones."""
    model = tiny_models.load("long", "int8")
    prompts = [random_ids(seed, length, 48) for seed, length in enumerate((250, 3, 199, 130, 1))]
    each = [{"max_tokens": 3 + 7 * i} for i in range(5)]
    how = {"temperature": 1.0, "seed": 1, "ignore_eos": True}
    want = [
        content(model.generate(prompt, **how, **own))
        for prompt, own in zip(prompts, each, strict=True)
    ]
    for at_once in (1, 2, 5):
        got = model.batch_generate(prompts, each, batch_size=at_once, **how)
        assert [content(result) for result in got] == want


def test_prompts_are_texts_or_ids(model: Model) -> None:
    text = "Once upon a time, a wolf — grey — met a lamb."
    prompts: list[Any] = [text, model.tokenizer.encode(text), np.array(PROMPTS[2]), [], ""]
    results = model.batch_generate(prompts, max_tokens=9)
    assert [content(result) for result in results] == [
        content(model.generate(prompt, max_tokens=9)) for prompt in prompts
    ]
    assert results[0].tokens == results[1].tokens
    assert [r.tokens for r in model.batch_generate(np.array([[1, 2], [3, 4]]), max_tokens=2)] == [
        model.generate([1, 2], max_tokens=2).tokens,
        model.generate([3, 4], max_tokens=2).tokens,
    ]
    assert model.batch_generate([]) == []


def test_each_ends_in_its_own_way(model: Model) -> None:
    how = {"temperature": 1.0, "seed": 2, "max_tokens": 30, "ignore_eos": True}
    whole = model.generate(PROMPTS[1], **how)
    assert len(set(whole.tokens)) > 20
    results = model.batch_generate(
        [PROMPTS[1]] * 4,
        [
            {},
            {"max_tokens": 5},
            {"stop": whole.text[10:14]},
            {"stop_token_ids": whole.tokens[7]},
        ],
        **how,
    )
    ends = [(result.finish_reason, result.tokens) for result in results]
    first = whole.tokens.index(whole.tokens[7])
    assert ends[0] == ("length", whole.tokens)
    assert ends[1] == ("length", whole.tokens[:5])
    assert ends[2][0] == "stop"
    assert results[2].text == whole.text[: whole.text.index(whole.text[10:14])]
    assert ends[3] == ("stop", whole.tokens[: first + 1])


class Passes:
    """What `run` was asked for: the lengths of the sequences of each step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lengths: list[list[int]] = []

        run = passes.Passes.run

        def noting(
            of: passes.Passes, sequences: Sequence[Sequence[int]], *more: Any, **named: Any
        ) -> Any:
            self.lengths.append([len(ids) for ids in sequences])
            return run(of, sequences, *more, **named)

        monkeypatch.setattr(passes.Passes, "run", noting)


def test_who_is_finished_leaves_and_the_next_one_begins(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, done = Passes(monkeypatch), []
    model.batch_generate(
        [[5] * length for length in (4, 2, 3, 6)],
        [{"max_tokens": count} for count in (3, 1, 2, 2)],
        batch_size=2,
        on_result=lambda index, result: done.append((index, len(result.tokens))),
        ignore_eos=True,
    )
    # Prompts of 4 and 2; the second is done with one token, and the third (3) takes its place …
    assert noted.lengths == [[4, 2], [1, 3], [1, 1], [6], [1]]
    assert done == [(1, 1), (0, 3), (2, 2), (3, 2)]


def test_the_head_is_read_once_a_pass(
    tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the largest matrix; prompts that are not complete yet do without it."""
    model = tiny_models.load("long", "int8")
    network, rows = model._network, list[int]()
    logits = type(network).logits

    def counted(self: Any, h: Any, precision: str) -> Any:
        rows.append(len(h))
        return logits(self, h, precision)

    monkeypatch.setattr(type(network), "logits", counted)
    model._passes.forget()  # type: ignore[attr-defined]
    monkeypatch.setattr(CpuBackend, "record", lambda *_: None)  # each pass by the model's own code
    prompts = [random_ids(seed, length, 48) for seed, length in enumerate((20, 290, 5))]
    model.batch_generate(prompts, max_tokens=3, ignore_eos=True)
    # 256 of 315 tokens: the first prompt, and most of the second; then the rest; then decoding.
    assert rows == [1, 2, 3, 3]


def test_results_come_as_soon_as_they_are(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in on_result, or Ctrl-C, ends the batch; what was finished has been given."""
    want = [model.generate(PROMPTS[i], max_tokens=2 * i, ignore_eos=True) for i in (1, 2)]
    noted, given_out = Passes(monkeypatch), []

    def interrupted(index: int, result: GenerationResult) -> None:
        given_out.append((index, content(result)))
        if len(given_out) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.batch_generate(
            PROMPTS[:3],
            [{"max_tokens": 9}, {"max_tokens": 2}, {"max_tokens": 4}],
            on_result=interrupted,
            ignore_eos=True,
        )
    assert given_out == [(i, content(result)) for i, result in zip((1, 2), want, strict=True)]
    assert [len(step) for step in noted.lengths] == [3, 3, 2, 2]  # and not the rest of nine


def test_arguments_of_one_come_before_those_of_all(model: Model) -> None:
    got = model.batch_generate(
        [PROMPTS[3]] * 3,
        [{"max_new_tokens": 2}, {}, {"do_sample": False}],
        max_tokens=4,
        temperature=1.0,
        seed=8,
        ignore_eos=True,
    )
    want = [
        model.generate(PROMPTS[3], ignore_eos=True, seed=8, **how)
        for how in (
            {"max_tokens": 2, "temperature": 1.0},
            {"max_tokens": 4, "temperature": 1.0},
            {"max_tokens": 4},
        )
    ]
    assert [content(result) for result in got] == [content(result) for result in want]


def test_equal_seeds_draw_alike_and_others_do_not(model: Model) -> None:
    seeds = [1, 2, 1, 3]
    how = {"max_tokens": 12, "temperature": 1.0, "ignore_eos": True}
    got = model.batch_generate([PROMPTS[4]] * 4, [{"seed": seed} for seed in seeds], **how)
    assert got[0].tokens == got[2].tokens
    assert len({tuple(result.tokens) for result in got}) == 3
    assert [result.seed for result in got] == seeds


BAD: list[tuple[Any, dict[str, Any], str]] = [
    ("one text", {}, "prompts: expected several, got 'one text'; put it in a list"),
    (None, {}, "prompts: expected several, got None; put it in a list"),
    ([1, 2], {}, "prompts[0]: prompt: expected text or token ids, got 1"),
    ([[1], [V]], {}, "prompts[1]: token 0: 2048 is outside the vocabulary [0, 2048)"),
    ([[1], [2] * 64], {}, "prompts[1]: the prompt has 64 tokens; the model's context is 64"),
    ([[1], [2] * 9], {"max_tokens": 60}, "prompts[1]: prompt (9) + max_tokens (60) = 69"),
    ([[1]], {"top_p": 2}, "prompts[0]: top_p: expected a finite number from 0 to 1, got 2"),
    ([[1]], {"batch_size": 0}, "batch_size: expected a whole number ≥ 1, got 0"),
    ([[1]], {"arguments": [{}, {}]}, "arguments: expected 1 mappings, one a prompt, got [{}, {}]"),
    ([[1]], {"arguments": [3]}, "arguments: expected 1 mappings, one a prompt, got [3]"),
    ([[1]], {"arguments": 3}, "arguments: expected 1 mappings, one a prompt, got 3"),
    ([[1]], {"arguments": {"seed": 1}}, "arguments: expected 1 mappings, one a prompt, got {"),
    ([[1], [2]], {"arguments": [{}, {"tpo_k": 3}]}, "prompts[1]: unknown argument 'tpo_k'"),
    ([[1]], {"logit_bias": {V: 1}}, "prompts[0]: logit_bias: 2048 is outside the vocabulary"),
    ([[1]], {"logprobs": V + 1}, "prompts[0]: logprobs: expected at most the vocabulary's 2048"),
]


@pytest.mark.parametrize(("prompts", "how", "message"), BAD, ids=lambda value: str(value)[:30])
def test_refused_before_anything_is_computed(
    model: Model, monkeypatch: pytest.MonkeyPatch, prompts: Any, how: dict[str, Any], message: str
) -> None:
    noted = Passes(monkeypatch)
    with pytest.raises(RequestError) as caught:
        model.batch_generate(prompts, **how)
    assert str(caught.value).startswith(message)
    assert noted.lengths == []


def test_where_nothing_is_left_to_draw(model: Model) -> None:
    banned = dict.fromkeys(range(V), -math.inf)
    with pytest.raises(RequestError, match="after penalties and logit_bias the largest is -inf"):
        model.batch_generate([[1], [2]], [{}, {"logit_bias": banned}])


def test_a_closed_model(tiny_models: TinyModels) -> None:
    import lapwing

    model = lapwing.load(tiny_models.directory("odd"), threads=1)
    with pytest.raises(RequestError, match="the model is closed"):
        model.batch_generate(
            [[1], [2]],
            [{"max_tokens": 1}, {"max_tokens": 9}],
            on_result=lambda *_: model.close(),
            ignore_eos=True,
        )
    with pytest.raises(RequestError, match="the model is closed"):
        model.batch_generate([[1]])
