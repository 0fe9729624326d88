"""Lapwing runs language models on laptops.

    import lapwing

    with lapwing.load("tales", dtype="int4") as model:
        print(model.generate("Once upon a time", max_tokens=50).text)

Everything heavy is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from lapwing.bench.function import BenchmarkResult, benchmark_model
    from lapwing.bench.quality.choose import Choice, choose_plan
    from lapwing.bench.quality.evaluate import evaluate
    from lapwing.bench.quality.result import EvalResult
    from lapwing.engine.load import held_bytes, load, load_shared
    from lapwing.engine.model import Model
    from lapwing.engine.result import (
        EncoderOutput,
        GenerationResult,
        StreamChunk,
        Timings,
        TokenLogprob,
    )
    from lapwing.engine.sampling import sample_token
    from lapwing.errors import (
        BackendError,
        ConfigError,
        DoesNotFitError,
        FileError,
        LapwingError,
        ModelNotFoundError,
        RequestError,
        TokenizerError,
        WeightsError,
    )
    from lapwing.layers.kv_cache import KVCache
    from lapwing.weights.lazy import LazyTensor
    from lapwing.weights.plan import Plan

_HOMES = {
    "BenchmarkResult": "lapwing.bench.function",
    "benchmark_model": "lapwing.bench.function",
    "Choice": "lapwing.bench.quality.choose",
    "choose_plan": "lapwing.bench.quality.choose",
    "evaluate": "lapwing.bench.quality.evaluate",
    "EvalResult": "lapwing.bench.quality.result",
    "held_bytes": "lapwing.engine.load",
    "load": "lapwing.engine.load",
    "load_shared": "lapwing.engine.load",
    "Model": "lapwing.engine.model",
    "EncoderOutput": "lapwing.engine.result",
    "GenerationResult": "lapwing.engine.result",
    "StreamChunk": "lapwing.engine.result",
    "Timings": "lapwing.engine.result",
    "TokenLogprob": "lapwing.engine.result",
    "sample_token": "lapwing.engine.sampling",
    "KVCache": "lapwing.layers.kv_cache",
    "LazyTensor": "lapwing.weights.lazy",
    "Plan": "lapwing.weights.plan",
    **dict.fromkeys(
        (
            "BackendError",
            "ConfigError",
            "DoesNotFitError",
            "FileError",
            "LapwingError",
            "ModelNotFoundError",
            "RequestError",
            "TokenizerError",
            "WeightsError",
        ),
        "lapwing.errors",
    ),
}

__all__ = [
    "BackendError",
    "BenchmarkResult",
    "Choice",
    "ConfigError",
    "DoesNotFitError",
    "EncoderOutput",
    "EvalResult",
    "FileError",
    "GenerationResult",
    "KVCache",
    "LapwingError",
    "LazyTensor",
    "Model",
    "ModelNotFoundError",
    "Plan",
    "RequestError",
    "StreamChunk",
    "Timings",
    "TokenLogprob",
    "TokenizerError",
    "WeightsError",
    "benchmark_model",
    "choose_plan",
    "evaluate",
    "held_bytes",
    "load",
    "load_shared",
    "sample_token",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'lapwing' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def _version() -> str:
    """Of the installed package; pyproject.toml is where it is written."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lapwing")
    except PackageNotFoundError:
        return "0+not.installed"


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
