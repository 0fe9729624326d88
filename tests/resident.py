"""For tests that measure memory in processes of their own: models to load, counters to read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import lapwing

SOURCES = Path(lapwing.__file__).parents[1]
MB = 1_000_000


def write(
    directory: Path, *, n_embd: int, n_layer: int, vocab_size: int, n_positions: int = 64
) -> Path:
    """Random f32 weights; only sizes matter here, and that they are not all alike."""
    D, F = n_embd, 4 * n_embd
    shapes: dict[str, tuple[int, ...]] = {
        "wte.weight": (vocab_size, D),
        "wpe.weight": (n_positions, D),
    }
    for i in range(n_layer):
        for name, K, N in [
            ("attn.c_attn", D, 3 * D),
            ("attn.c_proj", D, D),
            ("mlp.c_fc", D, F),
            ("mlp.c_proj", F, D),
        ]:
            shapes |= {f"h.{i}.{name}.weight": (K, N), f"h.{i}.{name}.bias": (N,)}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h.{i}.{name}.weight": (D,), f"h.{i}.{name}.bias": (D,)}
    shapes |= {"ln_f.weight": (D,), "ln_f.bias": (D,)}
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with (directory / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            file.write((rng.random(shape, np.float32) - np.float32(0.5)) / np.float32(20))
    config = {"model_type": "gpt2", "n_positions": n_positions, "n_head": 16, "n_embd": n_embd}
    config |= {"n_layer": n_layer, "vocab_size": vocab_size, "eos_token_id": 0}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def counter(name: str) -> int:
    """VmRSS, VmHWM, RssAnon or RssFile of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def settled() -> int:
    """VmRSS, once background threads have ended."""
    time.sleep(0.02)
    return counter("VmRSS")


def warm_up(tiny: str) -> None:
    """Imports, threads and their stacks: paid once by every program, whatever it loads."""
    with lapwing.load(tiny, dtype="int8") as model:
        model.generate([1, 2, 3], max_tokens=3, ignore_eos=True)
    with lapwing.load(tiny, dtype="f16") as model:
        model.forward([1, 2, 3])


def looked(model: Any) -> None:
    """The governor's thread has looked once: its modules and its stack are there."""
    model.governor.watcher.wake()
    while model.governor._ticked_s is None:
        time.sleep(0.01)
    with model.governor._ticking:  # to its end
        pass


def unwatched(model: Any) -> None:
    """The governor's thread has ended."""
    watcher = model.governor.watcher
    watcher.stop()
    watcher._thread.join()
