"""MiniLM on SemEval-2016's sentence pairs: the published score, and what each precision keeps.

Spearman's rank correlation × 100 between people's scores and the cosines of 1186 pairs, all five
sets as one. Published for all-MiniLM-L6-v2 at float32: 78.99.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from loading import minilm_directory
from tolerances import STS_COSINE, STS_SPEARMAN

import lapwing

PAIRS = Path(__file__).resolve().parents[3] / "shared" / "sts"
Array = npt.NDArray[np.float64]


def read_pairs() -> tuple[Array, list[str]]:
    """Scores [n], and the texts: all first sentences, then all second ones."""
    rows = [
        line.split("\t")[:3]
        for path in sorted(PAIRS.glob("sts16.*.tsv"))
        for line in path.read_text(encoding="utf-8").split("\n")
    ]
    scored = [row for row in rows if row[0]]
    scores = np.array([float(score) for score, _, _ in scored])
    return scores, [a for _, a, _ in scored] + [b for _, _, b in scored]


def ranks(values: Array) -> Array:
    """From 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(a: Array, b: Array) -> float:
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def test_ranks_by_hand() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 7.0])).tolist() == [2.5, 1, 2.5, 4]


@pytest.fixture(scope="module")
def vectors() -> dict[str, npt.NDArray[np.float32]]:
    directory = minilm_directory()
    if not PAIRS.exists():
        pytest.skip("the sentence pairs are not beside the repository")
    _, texts = read_pairs()
    result = {}
    for dtype in ("f32", "f16"):
        with lapwing.load(directory, dtype=dtype, threads=2) as model:
            result[dtype] = model.embed(texts)
    with lapwing.load(directory, dtype="int8", threads=2) as model:
        for dtype in ("int8", "int4"):
            result[dtype] = model.embed(texts, dtype=dtype)
    return result


@pytest.mark.parametrize("dtype", ["f32", "f16", "int8", "int4"])
def test_score(vectors: dict[str, npt.NDArray[np.float32]], dtype: str) -> None:
    scores, _ = read_pairs()
    assert len(scores) == 1186
    first, second = np.split(vectors[dtype].astype(np.float64), 2)
    score = 100 * spearman((first * second).sum(1), scores)
    cosine = float((vectors[dtype] * vectors["f32"]).sum(1).mean())
    print(f"\n{dtype}: Spearman {score:.2f}, mean cosine to f32 {cosine:.5f}")
    least, most = STS_SPEARMAN[dtype]
    assert least <= score <= most
    assert cosine >= STS_COSINE[dtype]
