"""Lazy tensors: known before they are read, read on the first `get`, given back by `release`.

    python examples/lazy_tensor.py [MODEL]

Then a whole model that way: the first layer runs while the others have not been read.
"""

from __future__ import annotations

import argparse

import lapwing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="tales", help="directory, hub id, or tales")
    arguments = parser.parse_args()
    with lapwing.load(arguments.model, load="lazy") as model:
        name, tensor = max(model.tensors.items(), key=lambda item: item[1].nbytes)
        print(f"{name}: {list(tensor.shape)} {tensor.dtype}, loaded: {tensor.loaded}")
        first = tensor.get().reshape(-1)[0]
        print(f"first value {first}, loaded: {tensor.loaded}")
        tensor.release()
        print(f"released, loaded: {tensor.loaded}")

        hidden = model.forward([1, 2, 3], layers=range(1))  # [3, D]
        states = ", ".join("read" if layer.loaded else "not read" for layer in model.layers)
        print(f"one layer gives {list(hidden.shape)}; layers: {states}")
        model.layers[0].release()
        print(f"layer 0 released, loaded: {model.layers[0].loaded}")


if __name__ == "__main__":
    main()
