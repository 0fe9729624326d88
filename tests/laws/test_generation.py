"""Text out: seeds, streaming, stops, and how a text may end."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import TinyModels
from tiny import random_ids, write_gpt2

import lapwing
from lapwing import Model, RequestError, sample_token
from lapwing.engine.sampling import History, Sampling, choose


@pytest.fixture
def model(tiny_models: TinyModels) -> Model:
    """Random weights, the bundled vocabulary: half its text is broken characters."""
    return tiny_models.load("base", "int8", text=True)


PROMPT = random_ids(11, 6, 2048)


def test_same_seed_same_text(model: Model) -> None:
    def tokens(**how: object) -> list[int]:
        return model.generate(PROMPT, max_tokens=30, ignore_eos=True, **how).tokens

    assert tokens(temperature=1.0, seed=5) == tokens(temperature=1.0, seed=5)
    texts = {tuple(tokens(temperature=1.0, seed=seed)) for seed in range(4)}
    assert len(texts) == 4
    assert tokens(temperature=1.0) != tokens(temperature=1.0)  # fresh entropy without a seed
    assert tokens() == tokens(seed=1) == tokens(seed=2, temperature=0)  # greedy draws nothing


def test_generation_is_forward_and_sample(model: Model) -> None:
    """The loop adds nothing: each token is drawn from the logits of all before it."""
    for temperature in (0.0, 0.8):
        got = model.generate(
            PROMPT, max_tokens=10, temperature=temperature, seed=3, ignore_eos=True
        ).tokens
        rng, ids = np.random.default_rng(3), list(PROMPT)
        for token in got:
            logits, _ = model.forward_with_kv_cache(ids)
            assert sample_token(logits[-1], temperature, rng) == token
            ids.append(token)


def test_generation_is_forward_and_steps(model: Model) -> None:
    """Penalties count the prompt and the answer so far, and nothing else."""
    how = {
        "repetition_penalty": 1.7,
        "presence_penalty": 0.8,
        "frequency_penalty": 0.6,
        "logit_bias": {PROMPT[0]: 4.0, PROMPT[1]: -math.inf},
        "temperature": 0.9,
        "top_k": 60,
        "top_p": 0.9,
        "min_p": 0.02,
        "typical_p": 0.95,
    }
    for greedy in ({}, {"temperature": 0.0}):
        wishes = Sampling(**how | greedy)
        got = model.generate(PROMPT, max_tokens=25, seed=3, ignore_eos=True, **how | greedy).tokens
        rng, made = np.random.default_rng(3), list[int]()
        for token in got:
            logits, _ = model.forward_with_kv_cache(PROMPT + made)
            assert choose(logits[-1], wishes, History(PROMPT, made), rng) == token
            made.append(token)
        assert PROMPT[1] not in made


def test_pieces_joined_are_the_text(model: Model) -> None:
    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 10**6), st.integers(1, 40))
    def check(seed: int, max_tokens: int) -> None:
        how = {"max_tokens": max_tokens, "temperature": 1.0, "seed": seed, "ignore_eos": True}
        stream = model.stream(PROMPT, **how)
        chunks = list(stream)
        result = model.generate(PROMPT, **how)
        assert stream.result.tokens == result.tokens
        assert "".join(chunk.text for chunk in chunks) == result.text == stream.result.text
        assert result.text == model.tokenizer.decode(result.tokens)
        assert len(result.tokens) == max_tokens
        assert result.finish_reason == "length"
        # Pieces are whole characters, of tokens in order, and none is empty.
        assert all(chunk.text for chunk in chunks)
        rest = iter(result.tokens)
        assert all(chunk.token in rest for chunk in chunks if chunk.token is not None)

    check()


def test_a_text_prompt_is_its_ids(model: Model) -> None:
    text = "Once upon a time, a wolf — grey — met a lamb."
    ids = model.tokenizer.encode(text)
    by_text = model.generate(text, max_tokens=12)
    by_ids = model.generate(np.array(ids), max_tokens=12)
    assert (by_text.tokens, by_text.text) == (by_ids.tokens, by_ids.text)
    assert by_text.prompt_tokens == len(ids)


def test_stop_strings_cut_exactly(model: Model) -> None:
    how = {"max_tokens": 40, "temperature": 1.0, "seed": 2, "ignore_eos": True}
    whole = model.generate(PROMPT, **how).text
    assert len(whole) > 40

    @settings(max_examples=25, deadline=None)
    @given(st.integers(1, 30), st.integers(1, 12), st.booleans())
    def check(begin: int, length: int, with_decoy: bool) -> None:
        stop = whole[begin : begin + length]
        stops = [stop, "\0never\0"] if with_decoy else stop
        stream = model.stream(PROMPT, stop=stops, **how)
        pieces = [chunk.text for chunk in stream]
        assert "".join(pieces) == whole[: whole.index(stop)]
        assert stream.result.finish_reason == "stop"
        assert stream.result.text == "".join(pieces)
        assert len(stream.result.tokens) <= 40  # nothing ran on behind the stop

    check()
    assert model.generate(PROMPT, stop=["\0never\0"], **how).text == whole
    # A stop that has begun when the text ends is text after all.
    assert model.generate(PROMPT, stop=[whole[-3:] + "!"], **how).text == whole


def with_eos(directory: Path, eos: object, source: str) -> Path:
    """The text model, ending at `eos` according to one of its two configuration files."""
    made = write_gpt2(directory, seed=1, vocab_size=2048, extra_config={"eos_token_id": None})
    bundled = Path(lapwing.__file__).parent / "data/tales"
    shutil.copy(bundled / "tokenizer.json", made)
    if source == "generation_config.json":
        (made / source).write_text(json.dumps({"eos_token_id": eos}))
    else:
        config = json.loads((made / source).read_text())
        (made / source).write_text(json.dumps({**config, "eos_token_id": eos}))
    return made


@pytest.mark.parametrize("source", ["config.json", "generation_config.json"])
def test_eos_ends_the_text(model: Model, tmp_path: Path, source: str) -> None:
    how = {"max_tokens": 30, "temperature": 1.0, "seed": 4}
    free = model.generate(PROMPT, ignore_eos=True, **how).tokens
    eos = free[12]
    first = free.index(eos)
    with lapwing.load(with_eos(tmp_path / "m", [eos, 2047], source), threads=1) as ending:
        stopped = ending.generate(PROMPT, **how)
        assert stopped.tokens == free[: first + 1]
        assert stopped.finish_reason == "stop"
        assert stopped.text == model.tokenizer.decode(free[:first])  # the ending is no text
        running = ending.generate(PROMPT, ignore_eos=True, **how)
        assert running.tokens == free
        assert running.finish_reason == "length"


def test_tokens_that_end_a_text(model: Model, tmp_path: Path) -> None:
    """Besides the model's own; ignore_eos is about the model's own only."""
    how = {"max_tokens": 30, "temperature": 1.0, "seed": 4}
    free = model.generate(PROMPT, ignore_eos=True, **how).tokens
    eos, other = free[12], free[7]
    assert other not in free[:7]
    assert eos not in free[:12]
    directory = with_eos(tmp_path / "m", [eos], "config.json")
    with lapwing.load(directory, threads=1) as ending:
        for ids, ignore_eos, length in (
            ((), False, 13),
            ((), True, 30),
            (other, False, 8),
            ([other, 5], True, 8),
            (free[20], False, 13),
            (eos, True, 13),
        ):
            result = ending.generate(PROMPT, stop_token_ids=ids, ignore_eos=ignore_eos, **how)
            assert result.tokens == free[:length]
            assert result.finish_reason == ("length" if length == 30 else "stop")


def test_max_tokens(model: Model) -> None:
    for count in (1, 2, 7):
        result = model.generate(PROMPT, max_tokens=count, ignore_eos=True)
        assert len(result.tokens) == count
        assert result.finish_reason == "length"
    # By default 128, or what there is room for; here 64 positions.
    result = model.generate(PROMPT, ignore_eos=True)
    assert len(result.tokens) == 64 - len(PROMPT)


def test_context_overflow_is_an_error_with_the_numbers(model: Model) -> None:
    with pytest.raises(RequestError) as caught:
        model.generate(PROMPT, max_tokens=59)
    assert str(caught.value) == (
        "prompt (6) + max_tokens (59) = 65 tokens exceed the model's context of 64. "
        "Ask for at most 58."
    )
    assert len(model.generate(PROMPT, max_tokens=58, ignore_eos=True).tokens) == 58
    with pytest.raises(RequestError, match=r"prompt has 64 tokens; the model's context is 64"):
        model.generate([1] * 64)
    with pytest.raises(RequestError, match=r"prompt has 65 tokens; the model's context is 64"):
        model.generate([1] * 65)
    with pytest.raises(RequestError, match=r"65 new tokens"):
        model.forward([1] * 65)
    assert model.forward([1] * 64).shape == (64, 2048)


def test_an_answer_that_is_dropped_is_interrupted(model: Model) -> None:
    stream = model.stream(PROMPT, max_tokens=50, ignore_eos=True, temperature=1.0, seed=1)
    some = list(itertools.islice(stream, 3))
    result = stream.result
    assert result.finish_reason == "interrupted"
    assert result.text == "".join(chunk.text for chunk in some)
    whole = model.generate(PROMPT, max_tokens=50, ignore_eos=True, temperature=1.0, seed=1)
    assert whole.tokens[: len(result.tokens)] == result.tokens


def test_what_was_chosen_is_in_the_result(model: Model) -> None:
    result = model.generate(PROMPT, max_tokens=3, temperature=0.5, seed=9, ignore_eos=True)
    assert (result.dtype, result.backend, result.isa, result.threads, result.seed) == (
        "int8",
        model.backend,
        model.isa,
        model.threads,
        9,
    )
    timings = result.timings
    assert timings.load_s == model.load_s > 0
    assert timings.prefill_s > 0
    assert timings.tpot_s is not None
    assert timings.tpot_s * 2 == pytest.approx(timings.decode_s)
    assert timings.prefill_tps == pytest.approx(6 / timings.prefill_s)
    assert timings.decode_tps == pytest.approx(2 / timings.decode_s)
    assert timings.prefill_s + timings.decode_s <= timings.total_s
    assert json.loads(json.dumps(result.to_dict()))["timings"]["load_s"] == timings.load_s
    one = model.generate(PROMPT, max_tokens=1, ignore_eos=True).timings
    assert one.tpot_s is None  # there was no second token to measure


def test_temperature_spreads(model: Model) -> None:
    def kinds(temperature: float) -> int:
        first = [
            model.generate(PROMPT, max_tokens=1, temperature=temperature, seed=seed).tokens[0]
            for seed in range(30)
        ]
        return len(Counter(first))

    assert kinds(1e-6) == 1 < kinds(0.7) < kinds(100.0)
