"""How much slower the NumPy reference is: ratios of measurements, and sentences about them."""

from __future__ import annotations

from dataclasses import dataclass

from lapwing.units import format_rate


@dataclass(frozen=True)
class Measurements:
    """Decoding of `tales` at int8, tokens/s, and reading of memory. None: not measured."""

    compiled_tps: float | None
    reference_tps: float | None
    read_bytes_per_s: float | None
    bytes_per_token: int  # of weights, at int8


@dataclass(frozen=True)
class Slowdown:
    """How many times slower the reference is.

    of_compiled: than the compiled core, both measured. of_memory: than one pass over the weights at
    the measured read bandwidth, a physical limit that no program exceeds for a model larger than
    the caches, and not a speed that was seen.
    """

    of_compiled: float | None
    of_compiled_missing: str | None  # why it is None
    of_memory: float | None


def judge(measured: Measurements) -> Slowdown:
    """Ratios of measurements."""
    compiled, reference = measured.compiled_tps, measured.reference_tps
    of_compiled = of_memory = missing = None
    if reference is None:
        missing = "the reference was not measured"
    elif compiled is None:
        missing = "this installation has no compiled core to compare with"
    else:
        of_compiled = compiled / reference
    if reference is not None and measured.read_bytes_per_s is not None:
        of_memory = measured.read_bytes_per_s / measured.bytes_per_token / reference
    return Slowdown(of_compiled, missing, of_memory)


def describe_reference(
    measured: Measurements | None, *, compiled_core: bool, platform_name: str
) -> str:
    """What it costs that the reference backend is in use, and what to do about it."""
    slowdown = judge(measured) if measured else Slowdown(None, None, None)
    if compiled_core:
        if slowdown.of_compiled is None:
            cost = "much slower than the compiled core (lapwing doctor measures it)"
        else:
            ratio = format_ratio(slowdown.of_compiled)
            cost = f"decoding is {ratio} slower than with the compiled core (measured)"
        advice = "Unset LAPWING_BACKEND to use that."
    else:
        cost = "there is no compiled core here to say how much slower it is"
        if measured and slowdown.of_memory:
            cost = (
                f"it decodes {format_rate(measured.reference_tps)} of tales, "
                f"{format_ratio(slowdown.of_memory)} below what this memory could feed (measured)"
            )
        advice = compiler_advice(platform_name)
    return f"NumPy reference backend in use: {cost}. {advice}"


def format_ratio(ratio: float) -> str:
    """`3.14159` → `'3.1×'`, `314.159` → `'314×'`."""
    return f"{ratio:.1f}×" if ratio < 10 else f"{ratio:.0f}×"


def compiler_advice(platform_name: str) -> str:
    """How to get the compiled core."""
    if platform_name.startswith("macOS"):
        how = "xcode-select --install"
    elif platform_name.startswith("Windows"):
        how = "install Visual Studio's C++ build tools"
    else:
        how = "apt install g++, dnf install gcc-c++ or pacman -S gcc"
    return (
        f"Install a C++20 compiler ({how}), then install lapwing again from where you had it: "
        "pip install --force-reinstall --no-deps --no-cache-dir …"
    )
