"""Progressive loading: part by part by hand, then by a reader that goes ahead of the passes.

    python examples/progressive_loading.py [MODEL]

In the second half precision rises: tokens come from half the bytes until the rest has been read.
"""

from __future__ import annotations

import argparse
import time

import lapwing

PROMPT = "Once upon a time"


def by_hand(name: str) -> None:
    """Tokenizer, embedding, layer after layer, head: each loaded, and used, before the next."""
    began_s = time.perf_counter()

    def done(what: str) -> None:
        print(f"{1e3 * (time.perf_counter() - began_s):7.1f} ms  {what}")

    with lapwing.load(name, load="lazy") as model:
        ids = model.tokenizer.encode(PROMPT)
        done(f"tokenizer: {len(ids)} tokens")
        model.embedding.load()
        done("embedding")
        for layer in model.layers:
            layer.load()
            hidden = model.forward(ids, layers=range(layer.index + 1))
            done(f"layer {layer.index}: hidden states {list(hidden.shape)}")
        model.head.load()
        done(f"head: the next token is {model.forward(ids)[-1].argmax()}")


def by_a_reader(name: str) -> None:
    told: list[tuple[int, int]] = []
    with lapwing.load(
        name, load="progressive", rising=True, on_progress=lambda *bytes_: told.append(bytes_)
    ) as model:
        answer = model.generate(PROMPT, max_tokens=20)
        model.loading.wait()
        print(f"{len(told)} reports of progress; {told[-1][0]:,} of {told[-1][1]:,} bytes")
        print(f"{PROMPT}{answer.text}")
        switches = [f"{s.dtype} from token {s.token} on" for s in answer.precision_switches]
        print(f"ended as {answer.dtype}" + "".join(f"; {switch}" for switch in switches))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="tales", help="directory, hub id, or tales")
    arguments = parser.parse_args()
    by_hand(arguments.model)
    by_a_reader(arguments.model)


if __name__ == "__main__":
    main()
