"""A model in a mapped file: what a load takes, and what passes bring into memory.

    python examples/memory_mapping.py [MODEL]

The first load converts the weights once; every later one maps what that has written.
"""

from __future__ import annotations

import argparse
import time

import lapwing
from lapwing.backends.machine import anonymous_bytes, resident_bytes
from lapwing.units import format_bytes


def report(what: str, before: tuple[int, int]) -> None:
    """Growth of memory of its own, and of pages of files that any process can share."""
    own, shared = (now - then for now, then in zip(counters(), before, strict=True))
    print(f"{what:28} own {format_bytes(max(0, own)):>10}   shared {format_bytes(shared):>10}")


def counters() -> tuple[int, int]:
    own, resident = anonymous_bytes(), resident_bytes()
    if own is None or resident is None:
        raise SystemExit("This system does not tell what memory a process takes.")
    return own, resident - own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="tales", help="directory, hub id, or tales")
    arguments = parser.parse_args()
    for what in ("first load", "second load"):
        began_s = time.perf_counter()
        lapwing.load(arguments.model, load="mapped").close()
        print(f"{what}: {1e3 * (time.perf_counter() - began_s):.1f} ms")

    before = counters()
    with lapwing.load(arguments.model, load="mapped") as model:
        model.tokenizer.encode("Once")
        report("mapped", before)
        model.generate("Once upon a time", max_tokens=20, dtype="int4")
        report("after 20 tokens as int4", before)
        model.generate("Once upon a time", max_tokens=20, dtype="int8")
        report("after 20 tokens as int8", before)
        model.layers[0].release()
        report("layer 0 released", before)
    report("closed", before)


if __name__ == "__main__":
    main()
