"""llama.cpp's own quantizer, from its Python package or its binary, with the defaults users get."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lapwing.bench.export.checkpoint import Checkpoint
from lapwing.bench.export.gguf import write_f32
from lapwing.bench.peers.base import Target, Unavailable

BINARIES = "LAPWING_BENCH_LLAMA_CPP"  # folder of llama-bench and its siblings
FILE_TYPES = {"F16": 1, "Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15, "IQ4_NL": 25}  # llama_ftype


def binary(name: str) -> Path:
    """One of llama.cpp's programs. Raises Unavailable."""
    folder = os.environ.get(BINARIES)
    found = shutil.which(name, path=folder) if folder else shutil.which(name)
    if found is None:
        where = f"in {BINARIES}" if folder else f"on PATH, and {BINARIES} is not set"
        raise Unavailable(f"not installed: no {name} {where}")
    return Path(found)


def path_of(target: Target, quantization: str) -> Path:
    """Where `ensure` puts it."""
    return target.exports / f"{quantization}.gguf"


def ensure(target: Target, quantization: str) -> Path:
    """The model as a GGUF file, made where it is not there. Raises Unavailable."""
    path, whole = path_of(target, quantization), path_of(target, "F32")
    if path.exists():
        return path
    if not whole.exists():
        try:
            write_f32(Checkpoint(target.directory), whole)
        except ImportError:
            raise Unavailable("no module 'gguf' to write GGUF files with") from None
    if path != whole:
        part = path.with_suffix(".part")
        _quantize(whole, part, quantization)
        part.replace(path)
    return path


def _quantize(source: Path, target: Path, quantization: str) -> None:
    try:
        import llama_cpp
    except ImportError:
        command = [str(binary("llama-quantize")), str(source), str(target), quantization]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"llama-quantize: {done.stderr.strip().splitlines()[-1]}") from None
        return
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = FILE_TYPES[quantization]
    parameters.nthread = os.cpu_count() or 1
    failed = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), parameters)
    if failed:
        raise Unavailable(f"llama_model_quantize to {quantization} returned {failed}")
