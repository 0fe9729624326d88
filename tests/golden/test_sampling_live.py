"""Every step that transformers has, too, against transformers: the same tokens stay.

Its order of the filters is ours. Logits are eighths and fractions odd, so that no border is a
matter of rounding; no two are equal, which transformers lets its sort decide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT_LOGITS

from lapwing.engine.sampling import FILTERS, History, penalize_repetition

torch = pytest.importorskip("torch", reason="the live comparison needs torch (extra `oracle`)")
process = pytest.importorskip(
    "transformers.generation.logits_process", reason="the live comparison needs transformers"
)

ORACLES = {
    "temperature": "TemperatureLogitsWarper",
    "top_k": "TopKLogitsWarper",
    "top_p": "TopPLogitsWarper",
    "min_p": "MinPLogitsWarper",
    "typical_p": "TypicalLogitsWarper",
}
different_eighths = st.lists(
    st.integers(-160, 160).map(lambda n: n / 8), min_size=2, max_size=60, unique=True
)
odd_chances = st.integers(1, 998).map(lambda n: (n + 0.37) / 1000)


@settings(deadline=None)
@given(
    different_eighths,
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.sampled_from([0.3, 0.9, 4.0]),
            "top_k": st.integers(1, 70),
            "top_p": odd_chances,
            "min_p": odd_chances,
            "typical_p": odd_chances,
        },
    ),
)
def test_filters(values: list[float], how: dict[str, Any]) -> None:
    theirs = torch.tensor([values], dtype=torch.float64)
    ours = np.array(values)
    for name, step in FILTERS:
        if name in how:
            theirs = getattr(process, ORACLES[name])(how[name])(None, theirs)
            ours = step(ours, how[name])
    want = torch.softmax(theirs, -1)[0].numpy()
    got = np.exp(ours - ours.max())
    np.testing.assert_array_equal(got > 0, want > 0)
    np.testing.assert_allclose(got / got.sum(), want, atol=FLOAT_LOGITS["f32"])


@settings(deadline=None)
@given(
    different_eighths,
    st.lists(st.integers(0, 59), min_size=1, max_size=20),
    st.integers(0, 20),
    st.floats(0.1, 10),
)
def test_repetition_penalty(
    values: list[float], tokens: list[int], cut: int, penalty: float
) -> None:
    tokens = [token % len(values) for token in tokens]
    oracle = process.RepetitionPenaltyLogitsProcessor(penalty)
    want = oracle(torch.tensor([tokens]), torch.tensor([values], dtype=torch.float32))
    got = penalize_repetition(np.float32(values), penalty, History(tokens[:cut], tokens[cut:]))
    np.testing.assert_allclose(got, want[0].numpy(), rtol=FLOAT_LOGITS["f32"])
