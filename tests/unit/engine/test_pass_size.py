"""The size of passes over texts: tried on windows of real work, chosen once, kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from loading import TinyEncoders

import lapwing
from lapwing.engine import pass_size
from lapwing.engine.encoder import EncoderModel
from lapwing.engine.pass_size import PassSize
from lapwing.weights import notes

SIZES = (100, 200, 400, 800)


def worked(size: PassSize, rates: dict[int, float]) -> list[int]:
    """Windows of 10,000 tokens at these speeds, until it is known → the sizes they had."""
    tried = []
    while not size.known:
        tried.append(size.tokens)
        size.took(10_000, 10_000 / rates[size.tokens])
    return tried


def test_sizes_take_turns_and_the_smallest_as_good_as_the_best_is_kept(cache: Path) -> None:
    size = PassSize(SIZES, 200, "here")
    tried = worked(size, {100: 800.0, 200: 990.0, 400: 1000.0, 800: 900.0})
    assert sorted(tried) == sorted(SIZES * pass_size.ROUNDS)
    assert tried[0] == 200
    assert set(tried[:4]) == set(SIZES)  # each once before any twice
    assert size.tokens == 200
    assert notes.recall(pass_size.FILE) == {"here": 200}
    again = PassSize(SIZES, 100, "here")
    assert (again.tokens, again.known) == (200, True)
    assert not PassSize(SIZES, 100, "elsewhere").known


def test_one_slow_window_decides_nothing(cache: Path) -> None:
    size = PassSize(SIZES, 200, None)
    rates = dict.fromkeys(SIZES, 500.0) | {400: 1000.0}
    first = True
    while not size.known:
        slow, first = (first and size.tokens == 400), first and size.tokens != 400
        size.took(10_000, 10_000 / (rates[size.tokens] / (50 if slow else 1)))
    assert size.tokens == 400


def test_windows_that_fill_no_passes_do_not_count() -> None:
    size = PassSize(SIZES, 200, None)
    for _ in range(100):
        size.took(pass_size.FULL_PASSES * max(SIZES) - 1, 1.0)
        size.took(10_000, 0.0)
    assert not size.known
    assert size.tokens == 200


@pytest.mark.parametrize("kept", [-5, 0, 17, "200", None, True, 1e9])
def test_a_note_that_is_none_is_measured_anew(cache: Path, kept: object) -> None:
    notes.remember(pass_size.FILE, {"here": kept})
    assert not PassSize(SIZES, 200, "here").known


def test_a_long_job_finds_it_and_its_vectors_are_the_same_bits(
    cache: Path, tiny_encoders: TinyEncoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pass_size, "FULL_PASSES", 0)  # a tiny model's windows are small
    directory = tiny_encoders.directory("mean", text=True)
    texts = [f"the king {'and the queen ' * (i % 7)}" for i in range(6000)]
    with lapwing.load(directory) as model:
        assert isinstance(model, EncoderModel)
        expected = model.embed(texts[:200], batch_size=1)
        sizes = []
        took = PassSize.took

        def told(self: PassSize, tokens: int, seconds: float) -> None:
            sizes.append(self.tokens)
            took(self, tokens, seconds)

        monkeypatch.setattr(PassSize, "took", told)
        vectors = np.concatenate([part.vectors for part in model.embed_stream(texts)])
    np.testing.assert_array_equal(vectors[:200], expected)
    assert len(set(sizes)) > 1


def test_a_few_texts_ask_for_nothing(
    cache: Path, tiny_encoders: TinyEncoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PassSize, "of", None)
    with lapwing.load(tiny_encoders.directory("mean", text=True)) as model:
        model.embed(["the king"] * 20)
