"""From nothing to the first token: cold, warm, and what a mapped store costs afterwards.

    python -m benchmarks.start cold --shape llama-3.2-1b --dtype int4 [--cgroup SLOW]
    python -m benchmarks.start warm --shape gpt2-124m --dtype int8
    python -m benchmarks.start speed --shape llama-3.2-1b --dtype int4

cold: the page cache is told to forget the store, then a fresh process loads it and computes a
prompt; ways of loading take turns (read-first: all that the dtype needs is read, then mapped).
--cgroup: a group whose limits hold meanwhile, for a slower disk (cgroup v1:
`echo "254:0 500000000" > SLOW/blkio.throttle.read_bps_device`).
warm: from exec to the first character on the screen, of the command line, the store in the page
cache. speed: decoding from the mapping against the same bytes in anonymous memory, interleaved.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lapwing
from benchmarks.synthetic import SHAPES, VOCAB, write
from lapwing.bench.export.tokenizer import write_tokenizer
from lapwing.weights.hub import bundled_models
from lapwing.weights.store.checkpoint import StoredCheckpoint
from lapwing.weights.store.file import StoreFile

WAYS = ("eager", "read-first", "mapped", "progressive")
PLAIN_CHUNK = 1 << 20


def store_of(model: lapwing.Model) -> StoreFile:
    checkpoint = model._checkpoint
    assert isinstance(checkpoint, StoredCheckpoint)
    return checkpoint.store


def forget(path: Path) -> None:
    """The page cache drops a file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def plain_read(path: Path, nbytes: int) -> float:
    """Seconds for `nbytes` of a forgotten file, one read after the other."""
    forget(path)
    buffer = bytearray(PLAIN_CHUNK)
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while nbytes > 0 and (got := file.readinto(buffer)):
            nbytes -= got
    return time.perf_counter() - began


def read_needed(directory: str, dtype: str) -> None:
    """Areas that passes at this dtype read, one after the other."""
    with lapwing.load(directory, dtype, load="mapped") as model:
        store = store_of(model)
        buffer = bytearray(PLAIN_CHUNK)
        for area in ("vectors", "base", *(("lookups", "refine") if dtype == "int8" else ())):
            at, end = store.area_span(area)
            while at < end and (got := store.read_at(at, memoryview(buffer))):
                at += got


def measure_cold(directory: str, dtype: str, way: str, tokens: int) -> None:
    """One load and one prompt in this process; prints a JSON object."""
    with lapwing.load("tales") as other:  # libraries and threads are not the model's
        other.generate("Once", max_tokens=1)
    ids = [17 * i % 5000 for i in range(tokens)]
    began = time.perf_counter()
    if way == "read-first":
        read_needed(directory, dtype)
        way = "mapped"
    with lapwing.load(directory, dtype, load=way) as model:
        loaded = time.perf_counter()
        model.generate(ids, max_tokens=1, ignore_eos=True)
        first = time.perf_counter()
        result = {"load_s": loaded - began, "ttft_s": first - began}
        if model.loading is not None:
            model.loading.wait()
            result |= {"read_s": model.loading.took_s, "read_bytes": model.loading.total_bytes}
    print(json.dumps(result))


def cold(options: argparse.Namespace, directory: Path) -> None:
    with lapwing.load(directory, options.dtype) as model:
        path = store_of(model).path
    with lapwing.load(directory, options.dtype, load="progressive") as model:
        assert model.loading is not None
        nbytes = model.loading.total_bytes
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in options.ways.split(",")}
    plain: list[float] = []
    reader: list[float] = []
    for _ in range(options.rounds):
        plain.append(nbytes / plain_read(path, nbytes))
        forget(path)
        with lapwing.load(directory, options.dtype, load="progressive") as model:
            assert model.loading is not None
            model.loading.wait()
            reader.append(nbytes / (model.loading.took_s or 1))
        for way, mine in rows.items():
            forget(path)
            command = [sys.executable, "-m", "benchmarks.start", "cold", "--measure", way]
            command += ["--directory", str(directory), "--dtype", options.dtype]
            command += ["--tokens", str(options.tokens)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            mine.append(json.loads(done.stdout.splitlines()[-1]))
    shares = [r / p for r, p in zip(reader, plain, strict=True)]
    print(
        f"plain sequential read {_spread([p / 1e6 for p in plain], '.0f')} MB/s, the reader alone "
        f"{_spread([r / 1e6 for r in reader], '.0f')}: {_spread(shares, '.2f')} of it"
    )
    for way, mine in rows.items():
        text = f"{way:12} first token after {_spread([m['ttft_s'] for m in mine], '.2f')} s"
        if "read_s" in mine[0]:
            speeds = [m["read_bytes"] / m["read_s"] / 1e6 for m in mine]
            text += f", read at {_spread(speeds, '.0f')} MB/s"
        print(text)


def warm(options: argparse.Namespace, directory: Path) -> None:
    """Median of exec → first character of the answer on a pipe, and the tokenizer's part."""
    lapwing.load(directory, options.dtype).close()
    times, tokenizer = [], []
    for _ in range(options.rounds):
        began = time.perf_counter()
        tail = ["-n", "8", "--ignore-eos", "-q", "--dtype", options.dtype, "--load", options.load]
        with subprocess.Popen(
            [Path(sys.executable).parent / "lapwing", "run", str(directory), "Once upon a", *tail],
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            times.append(time.perf_counter() - began)
            process.stdout.read()
        code = (
            "import time, tokenizers; from lapwing.text.tokenizer import Tokenizer; "
            "b = time.perf_counter(); "
            f"Tokenizer.open({str(directory)!r}); print(time.perf_counter() - b)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        tokenizer.append(float(done.stdout))
    print(
        f"exec → first character {_spread(times, '.3f')} s; "
        f"the tokenizer library's load alone {_spread(tokenizer, '.3f')} s"
    )


def speed(options: argparse.Namespace, directory: Path) -> None:
    models = {way: lapwing.load(directory, options.dtype, load=way) for way in ("mapped", "eager")}
    caches = {way: model.kv_cache(8 + 20 * options.rounds) for way, model in models.items()}
    times: dict[str, list[float]] = {way: [] for way in models}
    for _ in range(options.rounds):
        for way, model in models.items():
            began = time.perf_counter()
            for token in range(16):
                model.forward_with_kv_cache([token], caches[way], dtype=options.dtype)
            times[way].append((time.perf_counter() - began) / 16 * 1e3)
    ratios = [m / e for m, e in zip(times["mapped"], times["eager"], strict=True)]
    for way, mine in times.items():
        print(f"{way:7} {_spread(mine, '.2f')} ms a token")
    print(f"mapped / anonymous: {_spread(ratios, '.3f')}")


def _spread(values: list[float], spec: str) -> str:
    """`median (least–most)`."""
    return f"{statistics.median(values):{spec}} ({min(values):{spec}}–{max(values):{spec}})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("cold", "warm", "speed"))
    parser.add_argument("--shape", choices=[*SHAPES, "tales"], default="llama-3.2-1b")
    parser.add_argument("--dtype", default="int4")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=256, help="of the prompt of a cold start")
    parser.add_argument("--cgroup", type=Path, help="whose limits hold while this runs")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--load", default="auto", help="of a warm start")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()) / "lapwing-bench")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure_cold(options.directory, options.dtype, options.measure, options.tokens)
        return
    if options.cgroup:
        (options.cgroup / "cgroup.procs").write_text(str(os.getpid()))
    if options.shape == "tales":
        directory = bundled_models()["tales"]
    else:
        kind = "F32" if options.shape.startswith("gpt2") else "BF16"
        directory = write(options.dir, options.shape, kind)
        write_tokenizer(directory, SHAPES[options.shape].get("vocab_size", VOCAB))
    {"cold": cold, "warm": warm, "speed": speed}[options.what](options, directory)


if __name__ == "__main__":
    main()
