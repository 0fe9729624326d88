"""On its own stories a trained Llama loses less to the planes than to ggml's formats.

As test_kl.py does for GPT-2: KL(f32 ‖ quantized) in nats per token, mean over 4096 tokens, planes
in lapwing, Q4_0 and Q8_0 in the emulation.  The text is what stories260k itself draws at
temperature 1 (tools/make_llama_goldens.py): it knows nothing but such stories, and of any other
text the figures would be those of surprise, not of its use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from quality.emulate_ggml import emulate, q4_0, q8_0
from quality.numpy_llama import NumpyLlama
from quality.test_kl import Forward, mean_kl
from tolerances import KL_RATIO, PERPLEXITY_RATIO

import lapwing
from lapwing.bench.quality.distance import log_softmax, nll_of

STORIES = Path(__file__).resolve().parents[3] / "shared" / "models" / "stories260k"
SAMPLE = Path(__file__).parents[1] / "golden" / "stories.npz"
# Bits of 32 weights: planes have codes of a scale and a centre, ggml a float16 scale.
GROUP, GROUP_BITS = 32, {"int4": 16 + 32 * 4, "int8": 16 + 32 * 8}


@dataclass(frozen=True)
class Losses:
    """By format; of float32 the perplexity only."""

    kl_nats: dict[str, float]
    perplexity: dict[str, float]


@pytest.fixture(scope="module")
def model() -> Iterator[lapwing.Model]:
    if not STORIES.exists():
        pytest.skip(f"the model is not beside the repository ({STORIES.name})")
    with lapwing.load(STORIES, dtype="int8") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def losses(model: lapwing.Model) -> Losses:
    """Of int4, int8, q4_0 and q8_0."""
    f32 = NumpyLlama.open(STORIES)
    forwards: dict[str, Forward] = {
        "int4": lambda window: model.forward(window, dtype="int4"),
        "int8": lambda window: model.forward(window, dtype="int8"),
        "q4_0": emulate(f32, q4_0),
        "q8_0": emulate(f32, q8_0),
    }
    with np.load(SAMPLE) as sample:
        windows = sample["sample.ids"].tolist()
    kl_nats = mean_kl(f32, forwards, windows)
    forwards["f32"] = f32
    return Losses(kl_nats, {name: perplexity(forwards[name], windows) for name in forwards})


def perplexity(forward: Forward, windows: list[list[int]]) -> float:
    """exp of the mean negative log probability of every token but a window's first."""
    nll = [nll_of(log_softmax(forward(window))[:-1], window[1:]) for window in windows]
    return float(np.exp(np.concatenate(nll).mean()))


@pytest.mark.parametrize(("dtype", "ggml"), [("int4", "q4_0"), ("int8", "q8_0")])
def test_kl_against_ggml(dtype: str, ggml: str, losses: Losses) -> None:
    kl_nats = losses.kl_nats
    ratio = kl_nats[dtype] / kl_nats[ggml]
    found = f"KL {kl_nats[dtype]:.5f} of {dtype} is {ratio:.2f} x {kl_nats[ggml]:.5f} of {ggml}"
    print(found)  # pytest -rP shows it
    assert ratio <= KL_RATIO[dtype], f"{found}, expected at most {KL_RATIO[dtype]}"


@pytest.mark.parametrize("dtype", PERPLEXITY_RATIO)
def test_perplexity(dtype: str, losses: Losses) -> None:
    ratio = losses.perplexity[dtype] / losses.perplexity["f32"]
    print(f"perplexity {losses.perplexity['f32']:.4f}, of {dtype} {ratio:.4f} times that")
    assert 1 / PERPLEXITY_RATIO[dtype] <= ratio <= PERPLEXITY_RATIO[dtype]


@pytest.mark.parametrize("dtype", GROUP_BITS)
def test_at_no_more_bits(dtype: str, model: lapwing.Model) -> None:
    """A group of 32 weights has as many bits as ggml's: 4.5 and 8.5 a weight where K is full.

    Beside that, eight rows share two floats, 8 / K a weight.  What else is read of a matrix as
    narrow as these says nothing: headers are laid out for four groups, and K = 64 has two.
    """
    linears = [p for p in model.parameters if p.role == "linear"]
    assert {p.K for p in linears} == {64, 172}
    for p in linears:
        groups, rows_of_eight = -(-p.K // GROUP), -(-p.N // 8)
        says = 8 * groups * GROUP_BITS[dtype] + 2 * 32
        empty = 8 * 16 * (-groups % 4)
        assert 8 * p.bytes_per_token(dtype) == rows_of_eight * (says + empty)


def test_perplexity_by_hand() -> None:
    """Of tokens of probability 1/2 and 1/8: the geometric mean of 2 and 8."""
    logits = np.log([[0.5, 0.25, 0.25], [0.125, 0.375, 0.5], [0.1, 0.1, 0.8]])
    assert perplexity(lambda _: logits, [[2, 0, 0]]) == pytest.approx(4, rel=1e-12)
