"""A cache of two precisions predicts no worse than int4, and no better than int8.

Of every window the second half is scored. Its first half was written to the cache at one precision,
the second half runs at the same or at the other one: what a switch in the middle of an answer does.

How much lower than int8's a mixed perplexity may be by chance: d, the mixed nats of a token less
those of int8, has the mean KL(int8 ‖ mixed) ≥ 0 on text that int8 draws itself, and a variance of
twice that where both are close (E[d²] of log p/q to second order). The mean of n tokens is then
above -3 √(2 KL / n) but once in 700 times, and ln perplexity with it: that is ε, with KL measured
on the same logits. It is the bound for text from elsewhere, too, where nothing favours a coarser
model. Above int4, 5 % are allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from quality.test_kl import TEXT
from quality.test_stories_kl import SAMPLE, STORIES

import lapwing
from lapwing.bench.quality.distance import kl_of_rows, log_softmax, nll_of
from lapwing.engine.causal import CausalModel
from lapwing.weights.hub import bundled_models

WINDOWS, WINDOW_LENGTH = 16, 256
PLANS = {
    "int8": ("int8", "int8"),
    "int4": ("int4", "int4"),
    "int8, then int4": ("int8", "int4"),
    "int4, then int8": ("int4", "int8"),
}
TO_INT4 = 1.05
MIXED = ("int8, then int4", "int4, then int8")


@dataclass(frozen=True)
class Scores:
    """By plan. kl_nats: of int8 to it, per token."""

    tokens: int
    perplexity: dict[str, float]
    kl_nats: dict[str, float]


def stories() -> Scores:
    """Of what the model itself drew at temperature 1."""
    if not STORIES.exists():
        pytest.skip(f"the model is not beside the repository ({STORIES.name})")
    with np.load(SAMPLE) as sample:
        windows = sample["sample.ids"].tolist()
    with lapwing.load(STORIES, dtype="int8") as model:
        return scored(model, windows)


def tales() -> Scores:
    """Of held-out text."""
    if not TEXT.exists():
        pytest.skip(f"the held-out text is not beside the repository ({TEXT.name})")
    with lapwing.load(str(bundled_models()["tales"]), dtype="int8") as model:
        ids = list(model.tokenizer.encode(TEXT.read_text(encoding="utf-8")))
        starts = np.linspace(0, len(ids) - WINDOW_LENGTH, WINDOWS).astype(int)
        return scored(model, [ids[start : start + WINDOW_LENGTH] for start in starts])


def scored(model: lapwing.Model, windows: list[list[int]]) -> Scores:
    """Tokens are scored that passes of the second half predict."""
    assert isinstance(model, CausalModel)
    nll_nats: dict[str, list[float]] = {plan: [] for plan in PLANS}
    kl_nats: dict[str, list[float]] = {plan: [] for plan in PLANS}
    for window in windows:
        half = len(window) // 2
        int8 = None
        for plan, (first, then) in PLANS.items():
            cache = model.kv_cache(len(window))
            model.forward_with_kv_cache(window[:half], cache, dtype=first, last_only=True)
            logits, _ = model.forward_with_kv_cache(window[half:-1], cache, dtype=then)
            logprobs = log_softmax(logits)
            int8 = logprobs if int8 is None else int8
            nll_nats[plan] += nll_of(logprobs, window[half + 1 :]).tolist()
            kl_nats[plan] += kl_of_rows(int8, logprobs).tolist()
    perplexity = {plan: float(np.exp(np.mean(nats))) for plan, nats in nll_nats.items()}
    means = {plan: float(np.mean(nats)) for plan, nats in kl_nats.items()}
    return Scores(len(nll_nats["int8"]), perplexity, means)


@pytest.fixture(scope="module", params=[stories, tales])
def scores(request: pytest.FixtureRequest) -> Scores:
    score: Callable[[], Scores] = request.param
    return score()


@pytest.mark.parametrize("plan", MIXED)
def test_between_int8_and_int4(plan: str, scores: Scores) -> None:
    mixed = scores.perplexity[plan]
    int8, int4 = scores.perplexity["int8"], scores.perplexity["int4"]
    chance = 3 * (2 * scores.kl_nats[plan] / scores.tokens) ** 0.5
    found = (
        f"perplexity {mixed:.4f} of {plan}: {mixed / int8:.4f} of int8's {int8:.4f}, "
        f"{mixed / int4:.4f} of int4's {int4:.4f}; ε {chance:.4f}, {scores.tokens} tokens"
    )
    print(found)  # pytest -rP shows it
    assert int8 * (1 - chance) <= mixed <= int4 * TO_INT4, found


def test_the_plans_differ(scores: Scores) -> None:
    """Both halves count: no plan is another one in disguise."""
    assert len(set(scores.perplexity.values())) == len(PLANS)
    nats = scores.kl_nats
    assert nats["int8"] == 0.0
    # What runs at int4 now matters more than what was written at int4 before.
    assert 0.0 < nats["int4, then int8"] < nats["int8, then int4"] < nats["int4"]
