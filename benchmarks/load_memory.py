"""What loading a large checkpoint costs in memory and time, and that it generates afterwards.

    python -m benchmarks.load_memory [--shape llama-3.2-1b] [--dtype int4]

A fresh process loads a random checkpoint at a true shape (bf16) and generates tokens. Growth is
the highest resident set (VmHWM) over the one before loading; pages of the mapped file count while
they are resident.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import lapwing
from benchmarks.synthetic import SHAPES, write
from lapwing.backends.machine import peak_resident_bytes, resident_bytes


def measure(directory: str, dtype: str) -> None:
    """Prints one JSON object."""
    with lapwing.load("tales") as other:  # libraries and threads are not the model's
        other.generate("Once", max_tokens=1)
    Path("/proc/self/clear_refs").write_text("5")  # the highest value starts again from here
    before = resident_bytes()
    with lapwing.load(directory, dtype=dtype) as model:
        loaded, load_peak = resident_bytes(), peak_resident_bytes()
        answer = model.generate(list(range(1, 65)), max_tokens=32, ignore_eos=True)
        result = {
            "held_bytes": model.estimate_memory_usage(),
            "grown_bytes": (loaded or 0) - (before or 0),
            "peak_grown_bytes": (load_peak or 0) - (before or 0),
            "after_generating_bytes": (peak_resident_bytes() or 0) - (before or 0),
            "load_s": model.load_s,
            "prefill_tps": answer.timings.prefill_tps,
            "decode_tps": answer.timings.decode_tps,
        }
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="llama-3.2-1b")
    parser.add_argument("--dtype", default="int4")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()) / "lapwing-bench")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.dtype)
        return
    directory = write(options.dir, options.shape, "BF16")
    size = (directory / "model.safetensors").stat().st_size
    command = [sys.executable, "-m", "benchmarks.load_memory", "--dtype", options.dtype]
    done = subprocess.run(
        [*command, "--measure", str(directory)], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    held = told["held_bytes"]
    print(f"{options.shape}, {size / 1e9:.2f} GB bf16 → {options.dtype}: {held / 1e6:.0f} MB held")
    for key in ("grown_bytes", "peak_grown_bytes", "after_generating_bytes"):
        print(f"{key}: {told[key] / 1e6:.0f} MB = {told[key] / held:.2f} × held")
    print(f"load {told['load_s']:.1f} s, prefill {told['prefill_tps']:.1f} tokens/s, "
          f"decode {told['decode_tps']:.1f} tokens/s")  # fmt: skip


if __name__ == "__main__":
    main()
