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
from lapwing.bench.quality.distance import cosine_of_rows, spearman
from lapwing.bench.quality.encoders import texts_of
from lapwing.bench.quality.pairs import Pair, read_pairs

PAIRS = Path(__file__).resolve().parents[3] / "shared" / "sts"


def pairs_of_sts() -> list[Pair]:
    return read_pairs(sorted(PAIRS.glob("sts16.*.tsv")))


@pytest.fixture(scope="module")
def vectors() -> dict[str, npt.NDArray[np.float32]]:
    directory = minilm_directory()
    if not PAIRS.exists():
        pytest.skip("the sentence pairs are not beside the repository")
    texts = texts_of(pairs_of_sts())
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
    pairs = pairs_of_sts()
    assert len(pairs) == 1186
    alike = cosine_of_rows(vectors[dtype][0::2], vectors[dtype][1::2])
    score = 100 * spearman(alike, np.array([pair.score for pair in pairs]))
    cosine = float(cosine_of_rows(vectors[dtype], vectors["f32"]).mean())
    print(f"\n{dtype}: Spearman {score:.2f}, mean cosine to f32 {cosine:.5f}")
    least, most = STS_SPEARMAN[dtype]
    assert least <= score <= most
    assert cosine >= STS_COSINE[dtype]
