"""The programs under examples/, run as a reader would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e.command import User
from loading import minilm_directory

import lapwing

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(home: Path, name: str, *arguments: object) -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        env=User(home).environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout


@pytest.mark.parametrize("dtype", ["int8", "int4", "f16"])
def test_gpt2_generate_prints_true_numbers(tmp_path: Path, dtype: str) -> None:
    out = run(tmp_path, "gpt2_generate.py", "tales", "--dtype", dtype, "--seed", "3")
    with lapwing.load("tales", dtype=dtype) as model:
        result = model.generate("Once upon a time", max_tokens=50, temperature=0.7, seed=3)
        device, rest = out.split("\n", 1)
        assert device.startswith(f"Using device: cpu ({model.backend}")
    text, numbers = rest.rsplit("\nGeneration time: ", 1)
    assert text == "Generated text: Once upon a time" + result.text
    told = re.fullmatch(r"([\d.]+) s \((\d+) tokens\)\nTokens per second: ([\d.]+)\n", numbers)
    assert told, numbers
    seconds, tokens, rate = float(told[1]), int(told[2]), float(told[3])
    assert tokens == len(result.tokens)
    assert rate == pytest.approx(tokens / seconds, rel=0.05)


def test_bert_quantization_prints_measured_numbers(tmp_path: Path) -> None:
    """Times and bytes fall from level to level as the bits do; the vectors stay near."""
    directory = minilm_directory()
    out = run(tmp_path, "bert_quantization.py", directory)
    device, *lines = out.splitlines()
    assert device.startswith("Using device: cpu (")
    told = [
        re.fullmatch(
            r"(\w+) inference time: ([\d.]+) ms, measured memory: ([\d.]+) MB "
            r"\(weights ([\d.]+) MB, cosine to FP32 ([\d.]+)\)",
            line,
        )
        for line in lines
    ]
    assert all(told), out
    levels = {row[1]: tuple(map(float, row.groups()[1:])) for row in told if row}
    assert list(levels) == ["FP32", "FP16", "INT8", "INT4"]
    for level, dtype in zip(levels, ("f32", "f16", "int8", "int4"), strict=True):
        time_ms, measured_mb, weights_mb, cosine = levels[level]
        assert time_ms > 0
        with lapwing.load(directory, dtype=dtype) as model:
            assert weights_mb == round(model.estimate_memory_usage() / 1e6, 1)
        assert measured_mb > weights_mb * 0.5  # of a mapped table only the rows read count
        assert cosine > 0.95
    measured = [measured_mb for _, measured_mb, _, _ in levels.values()]
    assert measured == sorted(measured, reverse=True)


def test_benchmark_tool_prints_the_guides_lines(tmp_path: Path) -> None:
    """Ratios are those of the numbers above them, as far as these are printed."""
    out = run(tmp_path, "benchmark_tool.py", minilm_directory())
    *levels, speeds, reductions = _benchmark_tool(out)
    assert [name for name, *_ in levels] == ["FP32", "FP16", "INT8", "INT4"]
    for _, time_ms, _, throughput in levels:
        assert throughput == pytest.approx(1e3 / time_ms, rel=0.02)
    _, exact_ms, exact_mb, _ = levels[0]
    for (_, time_ms, mb, _), speed, saved in zip(levels[1:], speeds, reductions, strict=True):
        assert speed == pytest.approx(exact_ms / time_ms, rel=0.02)
        assert saved == pytest.approx(1 - mb / exact_mb, abs=0.02)
    memory = [mb for _, _, mb, _ in levels]
    assert memory == sorted(memory, reverse=True)
    assert memory[0] > 86  # the float32 weights, read once


def _benchmark_tool(out: str) -> tuple[Any, ...]:
    """((level, ms, MB, inferences/sec), …, ratios of speed, reductions of memory)."""
    number = r"([\d.]+)"
    levels = re.findall(
        rf"(\w+):\n  Avg Inference Time: {number} ms\n  Memory Usage: {number} MB\n"
        rf"  Throughput: {number} inferences/sec\n",
        out,
    )
    below = re.findall(
        rf"(\w+) vs FP32:\n  Speed improvement: {number}x\n  Memory reduction: {number}%\n", out
    )
    assert [name for name, _, _ in below] == [name for name, *_ in levels[1:]]
    assert out.count("\n") == 4 * len(levels) + 3 * len(below)
    return (
        *((name, float(ms), float(mb), float(rate)) for name, ms, mb, rate in levels),
        [float(speed) for _, speed, _ in below],
        [float(saved) / 100 for _, _, saved in below],
    )


def test_lazy_tensor_says_what_is_loaded(tmp_path: Path) -> None:
    out = run(tmp_path, "lazy_tensor.py")
    known, read, released, layers, gone = out.splitlines()
    assert known.startswith("transformer.wte.weight: [2048, 256] ")
    assert known.endswith("loaded: False")
    assert read.endswith("loaded: True")
    assert released == "released, loaded: False"
    expected = "one layer gives [3, 256]; layers: read, not read, not read, not read"
    assert layers == expected
    assert gone == "layer 0 released, loaded: False"


def test_shared_embeddings_counts_once(tmp_path: Path) -> None:
    out = run(tmp_path, "shared_embeddings.py")
    apart, together, first, second = out.splitlines()
    sizes = [float(line.split()[1]) for line in (apart, together)]
    assert apart.endswith(" MiB")
    assert sizes[1] < 0.6 * sizes[0]
    assert first.startswith("tales: Once upon a time")
    assert second.startswith("sibling: Once upon a time")


def test_memory_mapping_tells_own_from_shared(tmp_path: Path) -> None:
    out = run(tmp_path, "memory_mapping.py")
    first, second, *rows = out.splitlines()
    took_ms = [float(line.split()[2]) for line in (first, second)]
    assert took_ms[1] < took_ms[0]
    table = {row[:28].strip(): _mebibytes(row) for row in rows}
    assert list(table) == [
        "mapped",
        "after 20 tokens as int4",
        "after 20 tokens as int8",
        "layer 0 released",
        "closed",
    ]
    shared = [pages for _, pages in table.values()]
    # Base planes come in with int4, refine planes with int8; then they go again.
    assert shared[0] < shared[1] < shared[2] > shared[3] > shared[4]
    assert shared[2] - shared[1] > 1


def _mebibytes(row: str) -> tuple[float, float]:
    """`own 1.5 MiB   shared 200 KiB` → (1.5, 0.2)."""
    units = {"B": 2**-20, "KiB": 2**-10, "MiB": 1.0}
    found = re.findall(r"(?:own|shared)\s+(-?[\d.]+) (B|KiB|MiB)", row)
    own, shared = (float(number) * units[unit] for number, unit in found)
    return own, shared


def test_progressive_loading_part_by_part(tmp_path: Path) -> None:
    out = run(tmp_path, "progressive_loading.py")
    *by_hand, progress, text, ended = out.splitlines()
    parts = [line.split("ms  ")[1].split(":")[0] for line in by_hand]
    layers = [f"layer {i}" for i in range(4)]
    assert parts == ["tokenizer", "embedding", *layers, "head"]
    assert "hidden states [5, 256]" in by_hand[2]
    numbers = re.findall(r"[\d,]{5,}", progress)
    assert len(set(numbers)) == 1
    assert text.startswith("Once upon a time")
    assert ended.startswith("ended as int")


def test_sustained_generation_tells_what_it_knows_and_why_not(tmp_path: Path) -> None:
    out = run(tmp_path, "sustained_generation.py", "tales", "--minutes", "0.05", "--power", "50")
    lines = [line for line in out.splitlines() if " tokens/s  duty" in line]
    assert lines
    for line in lines:
        told = re.fullmatch(
            r" *\d+ s +(\d+) tokens +([\d.]+) tokens/s  duty ([\d.]+)  int8  (\w+|–)  (–|[\d.]+ J)",
            line,
        )
        assert told, line
        assert int(told[1]) == 128
        assert 0.3 < float(told[3]) < 0.8
    assert "observe: power 50 %, duty 0.50" in out
    assert re.search(r"first fifth [\d.]+ tokens/s, last fifth [\d.]+: [+-]\d+%", out)
