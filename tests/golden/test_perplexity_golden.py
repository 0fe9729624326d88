"""Strided perplexity is transformers', and rank correlation scipy's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden.conftest import HERE
from tolerances import PERPLEXITY_TO_ORACLE, SPEARMAN_TO_SCIPY

import lapwing
from lapwing.bench.quality.distance import ranks, spearman
from lapwing.bench.quality.measure import LiveReference, measure, own_quality
from lapwing.bench.quality.predict import ModelPredictor
from lapwing.bench.quality.windows import windows

STORIES = Path(__file__).resolve().parents[3] / "shared" / "models" / "stories260k"
PERPLEXITY: dict[str, Any] = json.loads((HERE / "perplexity.json").read_text(encoding="utf-8"))
SPEARMAN: dict[str, Any] = json.loads((HERE / "spearman.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("cut", range(4))
@pytest.mark.parametrize("name", ["tales", "stories"])
def test_perplexity(name: str, cut: int, backend: str) -> None:
    if name == "stories" and not STORIES.exists():
        pytest.skip(f"the model is not beside the repository ({STORIES.name})")
    want = PERPLEXITY[name]
    ids, of = want["ids"], want["cuts"][cut]
    blocks = windows(len(ids), of["window"], of["stride"])
    assert sum(each.scored for each in blocks) == of["scored"]
    with lapwing.load(STORIES if name == "stories" else name, dtype="f32") as model:
        found = measure(ids, blocks, LiveReference(ModelPredictor(model, "f32")), [])
    got = own_quality(name, "f32", found.reference).perplexity
    assert got is not None
    assert got.value == pytest.approx(of["perplexity"], rel=PERPLEXITY_TO_ORACLE)


def test_through_the_door() -> None:
    """The same number from text, by `lapwing.evaluate`."""
    want = PERPLEXITY["tales"]
    of = want["cuts"][3]
    result = lapwing.evaluate(
        "tales",
        "f32",
        text=want["text"],
        tokens=len(want["ids"]),
        window=of["window"],
        stride=of["stride"],
        seconds=None,
    )
    (row,) = result.rows
    assert result.scored == of["scored"]
    assert row.perplexity is not None
    assert row.perplexity.value == pytest.approx(of["perplexity"], rel=PERPLEXITY_TO_ORACLE)


@pytest.mark.parametrize("i", range(5))
def test_spearman(i: int) -> None:
    sample = SPEARMAN["samples"][i]
    a, b = np.array(sample["a"]), np.array(sample["b"])
    assert ranks(a).tolist() == sample["ranks_a"]
    assert spearman(a, b) == pytest.approx(sample["spearman"], abs=SPEARMAN_TO_SCIPY)


def test_there_are_ties_and_none() -> None:
    ties = [len(set(sample["a"])) < len(sample["a"]) for sample in SPEARMAN["samples"]]
    assert len(ties) == 5
    assert set(ties) == {True, False}
