"""Ratios of measurements, by hand."""

from __future__ import annotations

import pytest

from lapwing.advise.slowdown import (
    Measurements,
    compiler_advice,
    describe_reference,
    format_ratio,
    judge,
)

BOTH = Measurements(600.0, 4.0, 8e9, 4_000_000)
NO_CORE = Measurements(None, 4.0, 8e9, 4_000_000)


def test_both_measured() -> None:
    slowdown = judge(BOTH)
    assert slowdown.of_compiled == 150
    assert slowdown.of_compiled_missing is None
    assert slowdown.of_memory == 500  # 8 GB/s feed 2000 tokens/s of 4 MB; the reference makes 4


def test_without_a_core_there_is_a_reason_and_a_physical_limit() -> None:
    slowdown = judge(NO_CORE)
    assert slowdown.of_compiled is None
    assert "no compiled core" in (slowdown.of_compiled_missing or "")
    assert slowdown.of_memory == 500


def test_what_was_not_measured_stays_none() -> None:
    slowdown = judge(Measurements(600.0, None, None, 4_000_000))
    assert (slowdown.of_compiled, slowdown.of_memory) == (None, None)
    assert slowdown.of_compiled_missing
    assert judge(Measurements(600.0, 4.0, None, 1)).of_memory is None


@pytest.mark.parametrize(
    ("measured", "core", "words"),
    [
        (BOTH, True, "decoding is 150× slower than with the compiled core (measured)"),
        (None, True, "much slower than the compiled core (lapwing doctor measures it)"),
        (NO_CORE, False, "4.0 tokens/s of tales, 500× below what this memory could feed"),
        (None, False, "there is no compiled core here to say how much slower it is"),
    ],
)
def test_in_words(measured: Measurements | None, core: bool, words: str) -> None:
    text = describe_reference(measured, compiled_core=core, platform_name="Linux-6")
    assert words in text
    assert ("Install a C++20 compiler" in text) is not core


def test_ratios_and_compilers() -> None:
    assert [format_ratio(r) for r in (3.14159, 9.96, 314.2)] == ["3.1×", "10.0×", "314×"]
    assert "xcode-select" in compiler_advice("macOS-14.5-arm64")
    assert "apt install g++" in compiler_advice("Linux-6.1-x86_64")
    assert "Visual Studio" in compiler_advice("Windows-11")
