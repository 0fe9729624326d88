"""Embeddings at every dtype: a short query, many mixed texts, and what tokenization takes of them.

    python -m benchmarks.embed MODEL TEXTS.tsv …

TEXTS: files whose tab-separated fields from the second on are texts (the STS pairs have a score
first). Dtypes take turns, medians (least–most). The tokenizer's share is its own time, measured
apart, over that of the whole call, in which it runs beside the arithmetic.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import lapwing

DTYPES = ("f32", "f16", "int8", "int4")
QUERY = "where do lapwings build their nests ?"
SHORT = "a bird sang"


def seconds(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


def spread(values: list[float], digits: int = 0) -> str:
    """Median (least–most)."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({least:.{digits}f}–{most:.{digits}f})"


def read_texts(paths: list[Path], count: int) -> list[str]:
    """`count` of them, evenly from all."""
    texts = [
        text
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        for text in line.split("\t")[1:]
        if text
    ]
    return texts[:: max(1, len(texts) // count)][:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=256, help="texts of a batch")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    texts = read_texts(options.texts, options.count)
    models = {dtype: lapwing.load(options.model, dtype=dtype) for dtype in DTYPES}
    tokenizer = models["f32"].tokenizer
    tokens = sum(len(text.ids) for text in tokenizer.encode_texts(texts, 256))
    short = [SHORT] * 1024
    query_ms: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    rate: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    share: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    for model in models.values():
        model.embed(texts)
    for _ in range(options.rounds):
        for dtype, model in models.items():
            query_ms[dtype].append(
                min(1000 * seconds(lambda: model.embed(QUERY)) for _ in range(9))  # noqa: B023
            )
            rate[dtype].append(len(texts) / seconds(lambda: model.embed(texts)))  # noqa: B023
            whole_s = seconds(lambda: model.embed(short))  # noqa: B023
            share[dtype].append(100 * seconds(lambda: tokenizer.encode_texts(short)) / whole_s)
    isa, threads = models["int8"].isa, models["int8"].threads
    n_query = len(tokenizer.encode(QUERY))
    print(f"{isa}, {threads} threads, {options.rounds} interleaved rounds; {len(texts)} texts are "
          f"{tokens} tokens; a short text is {len(tokenizer.encode(SHORT))}\n")  # fmt: skip
    print(f"| dtype | weights | {n_query}-token query, ms | texts/s | tokens/s | "
          "tokenizing short texts, % |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for dtype, model in models.items():
        print(
            f"| {dtype} | {model.estimate_memory_usage() / 1e6:.0f} MB | "
            f"{spread(query_ms[dtype], 2)} | {spread(rate[dtype])} | "
            f"{statistics.median(rate[dtype]) * tokens / len(texts):.0f} | {spread(share[dtype])} |"
        )


if __name__ == "__main__":
    main()
