"""Laws of the measures: divergences, what a kept reference may be off, windows and blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import KL_ARITHMETIC

from lapwing.bench.quality.distance import Doubles, Floats, kl_of_rows, log_softmax, spearman
from lapwing.bench.quality.estimate import mean_of, of_blocks
from lapwing.bench.quality.kept import DRAWN, Whole, join, keep
from lapwing.bench.quality.measure import LiveReference, Measured, measure, own_quality, quality
from lapwing.bench.quality.windows import windows

SEEDS = st.integers(0, 2**32 - 1)


def distributions(seed: int, T: int, V: int, sharpness: float) -> tuple[Doubles, Doubles]:
    """Two, of which the second is not far from the first, or is another altogether."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(T, V)) * sharpness
    near = logits + rng.normal(size=(T, V)) * rng.choice([0.01, 0.3, 5.0])
    return log_softmax(logits), log_softmax(near)


@given(SEEDS, st.integers(1, 5), st.integers(1, 60), st.floats(0, 20))
def test_a_divergence_is_never_negative_and_none_to_itself(
    seed: int, T: int, V: int, sharpness: float
) -> None:
    p, q = distributions(seed, T, V, sharpness)
    assert (kl_of_rows(p, q) >= 0).all()
    assert (kl_of_rows(p, p) == 0).all()


@given(SEEDS, st.integers(1, 5), st.integers(1, 80), st.floats(0, 12), st.integers(1, 80))
@settings(max_examples=300)
def test_the_truth_is_within_what_is_certain_of_a_kept_reference(
    seed: int, T: int, V: int, sharpness: float, most: int
) -> None:
    p, q = distributions(seed, T, V, sharpness)
    kept = keep(p, most, np.random.default_rng(seed))
    found, want = kept.losses(q), Whole(p).losses(q)
    assert (found.low <= want.kl + KL_ARITHMETIC).all()
    assert (want.kl <= found.high + KL_ARITHMETIC).all()
    assert (found.same_top == want.same_top).all()
    everything = kept.counts == V
    assert (np.abs(found.kl - want.kl)[everything] <= (found.high - found.low)[everything]).all()


@given(SEEDS, st.integers(2, 60), st.floats(0, 12), st.integers(1, 60))
def test_a_kept_reference_loses_nothing_to_itself(
    seed: int, V: int, sharpness: float, most: int
) -> None:
    p, _ = distributions(seed, 3, V, sharpness)
    found = keep(p, most, np.random.default_rng(0)).losses(p)
    # What float32 takes off a log-probability, of every token and every one that was drawn.
    assert (np.abs(found.kl) <= np.abs(p).max() * 2.0**-23 + KL_ARITHMETIC).all()
    assert (found.low <= np.abs(p).max() * 2.0**-23 + KL_ARITHMETIC).all()


@given(SEEDS, st.integers(2, 40), st.integers(1, 30))
def test_pieces_of_a_kept_reference_are_the_whole(seed: int, V: int, most: int) -> None:
    p, q = distributions(seed, 6, V, 3)
    rng = np.random.default_rng(seed)
    parts = [keep(p[:2], most, rng), keep(p[2:], most, rng)]
    kept = join(parts)
    whole = kept.losses(q)
    for span in (slice(0, 2), slice(2, 5), slice(5, 6)):
        for a, b in zip(kept[span].losses(q[span]), whole, strict=True):
            np.testing.assert_allclose(a, b[span], rtol=1e-12, atol=1e-15)


def test_what_was_drawn_gives_the_truth_in_the_mean_and_its_error() -> None:
    """4000 keepings of one distribution, a fifth of which is left out."""
    p, _ = distributions(5, 1, 50, 1.0)
    q = log_softmax(p + np.random.default_rng(6).normal(size=p.shape))
    many = np.repeat(p, 4000, 0)
    found = keep(many, 20, np.random.default_rng(1)).losses(np.repeat(q, 4000, 0))
    truth = kl_of_rows(p, q)[0]
    error = math.sqrt(found.variance.mean() / 4000)
    assert found.kl.std() == pytest.approx(math.sqrt(found.variance.mean()), rel=0.05)
    assert abs(found.kl.mean() - truth) < 4 * error
    assert error < truth / 20
    assert (found.low < found.high).all()
    assert DRAWN >= 2, "one draw has no variance"


# Windows, with models that one can see through.


class Bigram:
    """Depends on the last token alone, so that it matters to nothing how a text is cut."""

    def __init__(self, seed: int, V: int, rows: int = 7) -> None:
        self.table = np.random.default_rng(seed).normal(size=(V, V)).astype(np.float32)
        self.rows = rows

    def __call__(self, ids: Sequence[int], first: int) -> Iterator[Floats]:
        for begin in range(first - 1, len(ids) - 1, self.rows):
            yield self.table[list(ids[begin : min(begin + self.rows, len(ids) - 1)])]


def run(ids: Sequence[int], length: int, stride: int, seed: int, V: int) -> Measured:
    reference = LiveReference(Bigram(seed, V))
    return measure(ids, windows(len(ids), length, stride), reference, [Bigram(seed + 1, V)])


CUTS = st.integers(2, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@given(st.integers(2, 200), CUTS)
def test_every_token_is_scored_once(tokens: int, cut: tuple[int, int]) -> None:
    length, stride = cut
    found = windows(tokens, length, stride)
    scored = [t for each in found for t in range(each.first, each.end)]
    assert len(scored) == len(set(scored))
    left_out = {each.begin for each in found} if stride == length else {0}
    last = 1 if stride == length and tokens % length == 1 else 0  # a window of one token
    assert set(range(tokens - last)) == {*scored, *left_out}
    for each in found:
        assert each.begin < each.first < each.end <= each.begin + length
        context = each.first - each.begin
        assert each.begin == 0 or stride == length or context >= length - stride


@given(st.lists(st.integers(0, 8), min_size=2, max_size=90), CUTS, SEEDS)
@settings(deadline=None)
def test_of_a_bigram_no_stride_matters(ids: list[int], cut: tuple[int, int], seed: int) -> None:
    length, stride = cut
    stride = min(stride, length - 1)
    got, want = run(ids, length, stride, seed % 1000, 9), run(ids, len(ids), 1, seed % 1000, 9)
    for a, b in ((got.reference, want.reference), (got.candidates[0], want.candidates[0])):
        np.testing.assert_allclose(np.concatenate(a.nll), np.concatenate(b.nll), rtol=1e-12)
    kl = [np.concatenate(each.candidates[0].column("kl")) for each in (got, want)]
    np.testing.assert_allclose(*kl, rtol=1e-12)


@given(st.integers(2, 500), st.lists(st.integers(0, 1), min_size=2, max_size=40), CUTS)
def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(
    V: int, ids: list[int], cut: tuple[int, int]
) -> None:
    model = Bigram(0, V)
    model.table[:] = 3.0
    found = measure(ids, windows(len(ids), *cut), LiveReference(model), [model])
    own = own_quality("u", "f32", found.reference).perplexity
    assert own is not None
    assert own.value == pytest.approx(V, rel=1e-9)
    other = quality("u", "f32", found.candidates[0], found.reference)
    assert other.kl_nats is not None
    assert other.top1_agreement is not None
    assert (other.kl_nats.value, other.top1_agreement.value) == (0, 1)
    assert other.kl_certain is None


BLOCKS = st.lists(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6), min_size=1, max_size=8
).map(lambda blocks: [np.array(block) for block in blocks])


@given(BLOCKS, st.randoms(use_true_random=False))
def test_the_order_of_blocks_changes_no_bit(blocks: list[Any], random: Any) -> None:
    mixed = list(blocks)
    random.shuffle(mixed)
    assert mean_of(mixed) == mean_of(blocks)

    def most(values: Doubles) -> float:
        return float(values.max())

    assert of_blocks(mixed, most, 20) == of_blocks(blocks, most, 20)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=40))
def test_spearman_asks_for_ranks_alone(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    want = spearman(a, b)
    if math.isnan(want):
        assert len(set(a)) == 1 or len(set(b)) == 1
        return
    assert -1 - 1e-12 <= want <= 1 + 1e-12
    assert spearman(np.exp(a), b**3) == pytest.approx(want, abs=1e-12)
    assert spearman(-a, b) == pytest.approx(-want, abs=1e-12)
    assert spearman(b, a) == pytest.approx(want, abs=1e-12)
