"""A plan: which matrices a mixed pass reads as int4, in a file and in a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from loading import TinyEncoders, TinyModels
from tiny_llamas import write_llama

import lapwing
from lapwing import ConfigError, Plan, RequestError
from lapwing.engine.load import inspect

IDS = [3, 1, 4, 1, 5, 9, 2, 6]


def names_of(directory: Path, roles: tuple[str, ...] = ("linear", "head", "tied")) -> list[str]:
    _, ops, checkpoint = inspect(directory, "int8")
    with checkpoint:
        return [p.tensor.name for p in ops.parameters if p.role in roles]


@pytest.mark.parametrize("store", [True, False])
def test_everything_lowered_is_int4_and_nothing_int8(tiny_models: TinyModels, store: bool) -> None:
    """Bit by bit, from a store and without one."""
    directory = tiny_models.directory()
    with lapwing.load(directory, "int8", store=store) as model:
        want = {dtype: model.forward(IDS, dtype=dtype) for dtype in ("int8", "int4")}
    everything = Plan(frozenset(names_of(directory)))
    with lapwing.load(directory, everything, store=store) as model:
        assert model.dtype == "mixed"
        np.testing.assert_array_equal(model.forward(IDS), want["int4"])
        np.testing.assert_array_equal(model.forward(IDS, dtype="int4"), want["int4"])
        if store:
            assert model.precisions == ("mixed", "int8", "int4")
            np.testing.assert_array_equal(model.forward(IDS, dtype="int8"), want["int8"])
        else:
            assert model.precisions == ("mixed", "int4")
            with pytest.raises(RequestError, match="serves mixed, int4; got int8"):
                model.forward(IDS, dtype="int8")
    with lapwing.load(directory, Plan(frozenset()), store=store) as model:
        assert model.dtype == "int8"
        np.testing.assert_array_equal(model.forward(IDS), want["int8"])


def test_a_mixed_model_is_neither_and_decodes_as_it_reads(tiny_models: TinyModels) -> None:
    """One matrix of each kind lowered; recorded passes of generation read the same planes."""
    directory = tiny_models.directory()
    for name in names_of(directory)[:5]:
        with lapwing.load(directory, Plan(frozenset([name]))) as model:
            mixed, int8, int4 = (
                model.forward(IDS, dtype=dtype) for dtype in ("mixed", "int8", "int4")
            )
            assert not np.array_equal(mixed, int8), name
            assert not np.array_equal(mixed, int4), name
            tokens = model.generate(IDS, max_tokens=6, temperature=0, ignore_eos=True).tokens
            ids = [*IDS, *tokens]
            assert model.forward(ids)[len(IDS) - 1 : -1].argmax(1).tolist() == list(tokens)


def test_bytes_are_what_the_plan_leaves(tiny_models: TinyModels) -> None:
    directory = tiny_models.directory()
    linears = names_of(directory, ("linear",))
    held = []
    for lowered in ([], linears[:1], linears):
        with lapwing.load(directory, Plan(frozenset(lowered))) as model:
            held.append(model.estimate_memory_usage())
    with lapwing.load(directory, "int4") as model:
        assert held[0] > held[1] > held[2] == model.estimate_memory_usage()


def test_an_encoder_takes_one(tiny_encoders: TinyEncoders) -> None:
    directory = tiny_encoders.directory("mean", text=True)
    texts = ["the king", "a wolf in the wood"]
    with lapwing.load(directory, "int8") as model:
        want = model.embed(texts, dtype="int4")
    with lapwing.load(directory, Plan(frozenset(names_of(directory)))) as model:
        np.testing.assert_array_equal(model.embed(texts), want)


def test_matrices_of_one_operation_go_together(tmp_path: Path) -> None:
    directory = write_llama(tmp_path, seed=1)
    with pytest.raises(ConfigError, match="one operation reads both"):
        lapwing.load(directory, Plan(frozenset(["model.layers.0.self_attn.k_proj.weight"])))


def test_a_plan_of_another_model_is_refused(tiny_models: TinyModels) -> None:
    with pytest.raises(ConfigError, match=r"the plan names 'h\.99\.mlp', and this model has no"):
        lapwing.load(tiny_models.directory(), Plan(frozenset(["h.99.mlp"])))
    plan = Plan(frozenset(names_of(tiny_models.directory())))
    with pytest.raises(RequestError, match="rising: goes from int4 to int8"):
        lapwing.load(tiny_models.directory(), plan, rising=True)
    with pytest.raises(RequestError, match="dtype: expected one of auto"):
        lapwing.load(tiny_models.directory(), "mixed")


def test_a_file_comes_back(tmp_path: Path, tiny_models: TinyModels) -> None:
    directory = tiny_models.directory()
    plan = Plan(frozenset(names_of(directory)[1:3]), {"predicted": 0.5})
    plan.write(tmp_path / "plan.json")
    read = Plan.read(tmp_path / "plan.json")
    assert (read, read.measured) == (plan, {"predicted": 0.5})
    for dtype in (tmp_path / "plan.json", str(tmp_path / "plan.json")):
        with lapwing.load(directory, dtype) as model:
            assert model.dtype == "mixed"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ('{"lapwing_plan": 1, "int4": ["a"', "not valid JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "expected a plan, with lapwing_plan 1; got None"),
        ('{"lapwing_plan": 2, "int4": []}', "got 2"),
        ('{"lapwing_plan": 1}', "int4 is null, expected a list of names"),
        ('{"lapwing_plan": 1, "int4": [1]}', "int4 is a list, expected a list of names"),
        ('{"lapwing_plan": 1, "int4": [], "measured": 3}', "measured is a number"),
    ],
)
def test_a_file_that_is_no_plan(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        Plan.read(tmp_path / "plan.json")


def test_what_is_written_is_for_people_too(tmp_path: Path) -> None:
    Plan(frozenset(["b", "a"])).write(tmp_path / "plan.json")
    assert json.loads((tmp_path / "plan.json").read_text()) == {
        "lapwing_plan": 1,
        "otherwise": "int8",
        "int4": ["a", "b"],
        "measured": {},
    }


def test_a_fingerprint_is_of_the_content(tiny_models: TinyModels, tmp_path: Path) -> None:
    import shutil

    directory = tiny_models.directory()
    copy = shutil.copytree(directory, tmp_path / "copy")
    prints = []
    for each in (directory, copy, tiny_models.directory(seed=2)):
        for dtype in ("f32", "int8"):
            with lapwing.load(each, dtype) as model:
                prints.append(model.fingerprint)
    assert len(set(prints[:4])) == 1
    assert prints[4] == prints[5] != prints[0]
