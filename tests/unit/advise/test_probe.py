"""Measuring, with a clock that is not a clock."""

from __future__ import annotations

import itertools

from lapwing.advise import probe
from lapwing.advise.inventory import take_inventory
from lapwing.backends.reference import ReferenceBackend


def test_speed_is_that_of_the_median_token_and_the_budget_ends_a_block() -> None:
    blocks = [[0.1, 0.3, 9.0], [9.0], [0.2] * probe.BLOCK_TOKENS, [0.1, 0.3, 9.0]]
    ticks = itertools.chain.from_iterable((0.0, d) for block in blocks for d in block)
    (tps,), nbytes = probe.decode_speeds(
        [probe._NoiseBackend(1)], budget_s=2.0 * probe.ROUNDS, clock=lambda: next(ticks)
    )
    assert next(ticks, None) is None
    assert tps == 1 / 0.2
    assert nbytes == take_inventory("tales").read_per_token["int8"].nbytes


def test_noise_has_the_shapes_of_a_packed_model() -> None:
    import numpy as np

    data = np.zeros((40, 70), np.float16)
    for layout in ("nk", "kn"):
        noise = probe._NoiseBackend(1).planes(data, "f16", layout, refine=True)
        packed = ReferenceBackend(1).planes(data, "f16", layout, refine=True)
        assert (noise.N, noise.K) == (packed.N, packed.K)
        assert noise.owned_bytes == packed.owned_bytes


def test_bandwidth_is_a_rate() -> None:
    assert probe.read_bandwidth(2, size_bytes=1 << 20) > 1e7
