"""On held-out tales the planes lose less than ggml's formats of the same bits.

KL(f32 ‖ quantized) in nats per token, mean over 4096 tokens.  Both sides quantize every linear,
the head and the activations, look embeddings up at 8 bits, and keep a float16 KV cache: planes run
in lapwing, Q4_0 and Q8_0 in the emulation beside this file.  Bits per weight: int4 4.5 and Q4_0
4.5, int8 8.5 and Q8_0 8.5; the planes' two floats per eight rows add 8 / K (0.03 at K = 256).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from quality.emulate_ggml import emulate, q4_0, q8_0
from quality.numpy_gpt2 import Array, NumpyGPT2
from tolerances import KL_RATIO

from lapwing.bench.quality.distance import kl_of_rows, log_softmax

TEXT = Path(__file__).resolve().parents[3] / "shared" / "text" / "tales.valid.txt"
WINDOWS, WINDOW_LENGTH = 16, 256

Forward = Callable[[list[int]], Array]


@pytest.fixture(scope="module")
def kl_nats() -> dict[str, float]:
    """Mean KL to float32 of int4, int8, q4_0 and q8_0."""
    if not TEXT.exists():
        pytest.skip(f"the held-out text is not beside the repository ({TEXT.name})")
    import lapwing
    from lapwing.weights.hub import bundled_models

    directory = bundled_models()["tales"]
    f32 = NumpyGPT2.open(directory)
    with lapwing.load(str(directory), dtype="int8") as model:
        ids = list(model.tokenizer.encode(TEXT.read_text(encoding="utf-8")))
        forwards: dict[str, Forward] = {
            "int4": lambda window: model.forward(window, dtype="int4"),
            "int8": lambda window: model.forward(window, dtype="int8"),
            "q4_0": emulate(f32, q4_0),
            "q8_0": emulate(f32, q8_0),
        }
        starts = np.linspace(0, len(ids) - WINDOW_LENGTH, WINDOWS).astype(int)
        windows = [ids[start : start + WINDOW_LENGTH] for start in starts]
        return mean_kl(f32, forwards, windows)


def mean_kl(
    reference: Forward, forwards: dict[str, Forward], windows: list[list[int]]
) -> dict[str, float]:
    """KL(reference ‖ forward) in nats per token, mean over all tokens of all windows."""
    sums = dict.fromkeys(forwards, 0.0)
    for window in windows:
        want = log_softmax(reference(window))
        for name, forward in forwards.items():
            sums[name] += float(kl_of_rows(want, log_softmax(forward(window))).sum())
    tokens = sum(map(len, windows))
    return {name: total / tokens for name, total in sums.items()}


@pytest.mark.parametrize(("dtype", "ggml"), [("int4", "q4_0"), ("int8", "q8_0")])
def test_kl_against_ggml(dtype: str, ggml: str, kl_nats: dict[str, float]) -> None:
    ratio = kl_nats[dtype] / kl_nats[ggml]
    found = f"KL {kl_nats[dtype]:.5f} of {dtype} is {ratio:.2f} x {kl_nats[ggml]:.5f} of {ggml}"
    print(found)  # pytest -rP shows it
    assert ratio <= KL_RATIO[dtype], f"{found}, expected at most {KL_RATIO[dtype]}"


@pytest.mark.parametrize(("dtype", "bits"), [("int4", 4.5), ("int8", 8.5)])
def test_at_no_more_bits(dtype: str, bits: float) -> None:
    """What a pass reads of each linear, factors included, to the decimal that tables print."""
    import lapwing

    with lapwing.load("tales", dtype=dtype) as model:
        linears = [p for p in model.parameters if p.role == "linear"]
        read = 8 * sum(p.bytes_per_token(dtype) for p in linears)
        weights = sum(p.N * p.K for p in linears)
        narrowest = min(p.K for p in linears)
    assert round(read / weights, 1) <= bits
    assert read / weights <= bits + 8 / narrowest


def test_kl_of_the_reference_to_itself_is_zero() -> None:
    """A wrong sign or a lost term in `mean_kl` shows on numbers one can check by hand."""
    p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    forwards: dict[str, Forward] = {"same": lambda _: np.log(p), "other": lambda _: np.log(q)}
    result = mean_kl(lambda _: np.log(p), forwards, [[0]])
    assert result["same"] == 0
    assert result["other"] == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3), rel=1e-12)


def test_q4_0_and_q8_0_by_hand() -> None:
    """d = -8 / -8 = 1 and d = 127 / 127 = 1: what is on the grid stays, ties go as published."""
    x = np.zeros((1, 32), np.float32)
    x[0, :6] = [-8, 7, 7.5, 1.5, -1.5, 0.25]
    assert q4_0(x)[0, :6].tolist() == [-8, 7, 7, 2, -1, 0]
    y = np.zeros((1, 32), np.float32)
    y[0, :5] = [127, -126.5, 0.5, -0.5, 3]
    assert q8_0(y)[0, :5].tolist() == [127, -127, 1, -1, 3]
    zero = np.zeros((1, 32), np.float32)
    np.testing.assert_array_equal(q4_0(zero), zero)
    np.testing.assert_array_equal(q8_0(zero), zero)
