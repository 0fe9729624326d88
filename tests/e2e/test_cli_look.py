"""The commands that only look: show, tokenize, explain-quant, doctor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tiny
from e2e.command import User

import lapwing
from lapwing.backends import topology


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def test_show_counts_what_load_holds(user: User) -> None:
    shown = user.types("show", "tales", "--json").json
    with lapwing.load("tales") as model:
        assert shown["resident"]["nbytes"] == model.estimate_memory_usage()
    assert shown["tied"] == ["transformer.wte.weight"]
    names = [tensor["name"] for tensor in shown["tensors"]]
    assert len(names) == len(set(names)) == 52
    assert shown["stored"]["bits_per_weight"] == 16
    read = shown["read_per_token"]
    assert list(read) == ["int8", "int4"]
    assert 8.5 < read["int8"]["bits_per_weight"] < 8.7
    assert 4.5 < read["int4"]["bits_per_weight"] < 4.7


def test_show_text_names_every_tensor_and_the_recipe(user: User) -> None:
    shown = user.types("show", "tales", "--dtype", "f16").out
    row = next(line for line in shown.splitlines() if "h.3.mlp.c_proj.weight" in line)
    assert re.fullmatch(r"\S+ +linear +1024 × 256 +f16 +f16 in place +524,288", row)
    assert "token embedding and head in one, counted once" in shown
    assert "\nrecipe f16 " in shown
    assert "\nread per token, f16" in shown
    assert not any(line.endswith(" ") for line in shown.splitlines())


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "int8", "int4"])
def test_show_reads_no_weight(user: User, dtype: str) -> None:
    model = tiny.write_gpt2(user.home / "m", seed=0, tie=False)
    file = model / "model.safetensors"
    blob = file.read_bytes()
    header = 8 + int.from_bytes(blob[:8], "little")
    file.write_bytes(blob[:header] + b"\xff" * (len(blob) - header))  # NaN everywhere
    shown = user.types("show", str(model), "--dtype", dtype, "--json").json
    assert shown["dtype"] == dtype
    assert shown["tied"] == []


def test_tokenize(user: User) -> None:
    text = "The naïve 🐦 sang"
    done = user.types("tokenize", "tales", text, "--json").json
    with lapwing.load("tales") as model:
        assert done["ids"] == model.tokenizer.encode(text)
    assert "".join(done["pieces"]) == text
    assert user.types("tokenize", "tales", "--json", piped=text.encode() + b"\n").json == done
    table = user.types("tokenize", "tales", text).out.splitlines()
    assert len(table) == 1 + len(done["ids"])


def test_explain_quant(user: User) -> None:
    done = user.types("explain-quant", "-3.14", "--json").json
    by_dtype = {reading["dtype"]: reading for reading in done["readings"]}
    assert list(by_dtype) == ["f32", "f16", "bf16", "int8", "int4"]
    s = 8 / 15
    assert by_dtype["int8"]["value"] == pytest.approx(-4 + s / 16 * (33 - 7.5))
    assert by_dtype["int4"]["value"] == pytest.approx(-4 + s * 2)
    assert by_dtype["f16"]["value"] == -3.140625
    table = user.types("explain-quant", "3.14159265", "--range", "-4", "4").out
    assert "int8    8.5  u = 222 = 16·13 + 14" in table
    huge = user.types("explain-quant", "1e39", "--json")
    assert huge.err == ""
    assert huge.json["readings"][0]["value"] is None  # no JSON number is infinite


def test_doctor(user: User) -> None:
    diagnosis = user.types("doctor", "--json").json
    facts, measured = diagnosis["facts"], diagnosis["measured"]
    assert facts["version"] == lapwing.__version__
    assert facts["cache_folder"] == str(user.home / "lapwing")
    assert facts["hub_cache_folder"] == str(user.home / "hub" / "hub")
    assert facts["backend"] in facts["backends"]
    assert measured["reference_tps"] > 0
    assert measured["read_bytes_per_s"] > 1e8
    if "cpu" in facts["backends"]:
        assert facts["isa"] in facts["isas"]
        ratio = measured["compiled_tps"] / measured["reference_tps"]
        assert diagnosis["reference_slowdown"]["of_compiled"] == pytest.approx(ratio)


def test_doctor_in_words(user: User) -> None:
    shown = user.types("doctor").out
    for word in ("processor", "backends", "instruction sets", "memory read", "the reference is"):
        assert f"\n{word}  " in shown
    threads = topology.read().default
    assert f"{threads} in decode, {threads} in prefill\n" in shown
    assert " not measured on this machine\n" in shown
