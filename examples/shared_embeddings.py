"""Two models that share weights: what they have in common is held once.

    python examples/shared_embeddings.py [MODEL MODEL …]

Without models, one that is a copy of the bundled one with another last layer, made on the spot.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import lapwing
from lapwing.units import format_bytes
from lapwing.weights.hub import bundled_models


def sibling(directory: Path) -> Path:
    """A copy of `tales` with a matrix of its last layer reversed: in place of a fine-tuned one."""
    made = directory / "sibling"
    shutil.copytree(bundled_models()["tales"], made)
    path = made / "model.safetensors"
    raw = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    begin, end = header["transformer.h.3.mlp.c_fc.weight"]["data_offsets"]
    halves = memoryview(raw)[start + begin : start + end].cast("H")
    halves[:] = memoryview(bytes(halves)).cast("H")[::-1]
    del halves
    path.write_bytes(raw)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="directories or hub ids")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = arguments.models or ["tales", str(sibling(Path(folder)))]
        models = lapwing.load_shared(names)
        apart = sum(model.estimate_memory_usage() for model in models)
        print(f"apart:    {format_bytes(apart)}")
        print(f"together: {format_bytes(lapwing.held_bytes(models))}")
        for name, model in zip(names, models, strict=True):
            answer = model.generate("Once upon a time", max_tokens=8)
            print(f"{Path(name).name}: Once upon a time{answer.text!r}")
            model.close()


if __name__ == "__main__":
    main()
