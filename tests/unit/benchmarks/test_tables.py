"""What a reader sees first is what Lapwing loses."""

from pathlib import Path

import pytest
from unit.benchmarks.results import row

from benchmarks.measure.rows import Results, Skip
from benchmarks.render import readme, tables


def decode() -> list:
    ours = row("lapwing", "int4", 1.0, model="tales", kl_nats=0.03)
    better = row("lapwing", "int8", 2.0, model="tales", kl_nats=0.001, precision="int8")
    return [
        ours,
        better,
        row("llama.cpp", "Q4_0", 1.6, model="tales", ratio=1.6, ratio_low=1.5, ratio_high=1.7,
            kl_nats=0.05),
        row("llama.cpp", "Q4_K_M", 1.5, model="tales", ratio=1.5, ratio_low=1.4, ratio_high=1.6,
            kl_nats=0.02),
        row("fast", "Q4", 0.8, model="tales", ratio=0.8, ratio_low=0.7, ratio_high=0.9,
            kl_nats=0.5),
        row("faster", "Q4", 0.5, model="tales", ratio=0.5, ratio_low=0.4, ratio_high=0.6),
    ]  # fmt: skip


def test_what_everyone_was_held_to_is_said() -> None:
    run = {"held_to": {"LAPWING_ISA": "avx2", "CT2_FORCE_CPU_ISA": "AVX2"}}
    held = Results({"run": run}, [], decode())
    line = "instruction sets held to LAPWING_ISA=avx2, CT2_FORCE_CPU_ISA=AVX2"
    assert line in tables.context_lines(held)
    assert tables.one_line(held).endswith("everyone held to avx2")
    for free in (Results({"run": {"held_to": {}}}, [], []), Results({}, [], [])):
        assert "held" not in tables.context_lines(free) + tables.one_line(free)


def test_losing_rows_come_first_and_our_own_last() -> None:
    order = [each.runtime for each in tables.losing_first(decode())]
    assert order == ["faster", "fast", "llama.cpp", "llama.cpp", "lapwing", "lapwing"]


def test_the_page_begins_with_losses() -> None:
    page = tables.page("decode", Results({}, [], decode()))
    assert page.index("## Where Lapwing is slower") < page.index("## At equal or better quality")
    lost = page[page.index("## Where") : page.index("## At equal")]
    assert "| faster |" in lost
    assert "llama.cpp" not in lost


def test_nothing_is_won_alone() -> None:
    results = Results({}, [], [row("lapwing", "int4", 0.1)])
    assert tables.slower(results) == tables.ALONE
    assert tables.ALONE in tables.summary({"contention": results})


def test_headline_compares_at_equal_or_better_quality() -> None:
    """Q4_K_M is nearer to float32 than our int4: int8 stands beside it, though it is slower."""
    found = {each.peer.quantization: each for each in tables.headlines(decode())}
    assert found["Q4_0"].ours.quantization == "int4"
    assert found["Q4_0"].ratio == pytest.approx(1.6)
    assert found["Q4_K_M"].ours.quantization == "int8"
    assert found["Q4_K_M"].ratio == pytest.approx(0.75)


def test_random_weights_have_the_quality_that_tales_showed() -> None:
    both = [
        *decode(),
        row("lapwing", "int4", 1.0),
        row("lapwing", "int8", 2.0, precision="int8"),
        row("llama.cpp", "Q4_K_M", 1.5),
    ]
    (one,) = [each for each in tables.headlines(both) if each.peer.model == "gpt2-124m"]
    assert one.ours.quantization == "int8"


def test_the_best_setting_counts() -> None:
    on = row("llama.cpp", "Q4_0", 1.0, setting="fa=on")
    off = row("llama.cpp", "Q4_0", 2.0, setting="fa=off")
    assert tables.best_settings([off, on]) == [on]


def test_one_reason_is_told_once() -> None:
    skips = [Skip("x", "no\nmore", model="a"), Skip("x", "no", model="b", workload="w")]
    assert tables.skipped(skips).splitlines()[2:] == ["| x | no | a, b w |"]


def test_readme_changes_between_its_markers_alone(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    readme.put(path, "new")
    readme.put(path, "newer")
    assert path.read_text() == f"before\n{readme.BEGIN}\n\nnewer\n\n{readme.END}\nafter\n"


def test_readme_without_markers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("nothing")
    with pytest.raises(SystemExit, match="benchmarks:begin"):
        readme.put(path, "new")
