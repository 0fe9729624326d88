"""Which matrices to lower: on costs one can add up in the head, and on a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from loading import TinyEncoders, TinyModels
from tiny_llamas import write_llama

import lapwing
from lapwing import DoesNotFitError, Plan, RequestError
from lapwing.bench.quality.sensitivity import Group, Lossy, Search, by_layer, groups_of

TEXT = "The king said that he had seen a wren in the wood, and nobody would believe him. " * 4
COSTS = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 3.0}
GROUPS = [
    Group("a", ("a",), 10),
    Group("b", ("b",), 100),
    Group("c", ("c",), 50),
    Group("d", ("d",), 100),
]


def search(groups: Sequence[Group] = GROUPS, extra: float = 0.0) -> Search:
    """Costs add up, and `extra` more for every group beyond the first."""

    def loss(plan: Plan) -> float:
        more = extra * max(0, len(plan.int4) - 1)
        return 1.0 + sum(COSTS[name] for name in plan.int4) + more

    return Search(Lossy("loss", 1, False, loss), groups, None)


def names(groups: Sequence[Group]) -> set[str]:
    return {each.name for each in groups}


def test_cheapest_bytes_first() -> None:
    """Per byte: b 0.002, c 0.006, a 0.01, d 0.03."""
    found = search()
    assert found.int8 == 1
    assert [round(each.added_loss, 9) for each in found.groups] == [0.1, 0.2, 0.3, 3.0]
    assert names(found.within_bytes(100)) == {"b"}
    assert names(found.within_bytes(150)) == {"b", "c"}
    assert names(found.within_bytes(160)) == {"a", "b", "c"}
    assert found.within_bytes(0) == []
    assert found.predicted(found.within_bytes(160)) == pytest.approx(1.6)


def test_what_a_later_one_makes_needless_is_given_back() -> None:
    """170 need d; without c, and without a, that is still enough."""
    assert names(search().within_bytes(200)) == {"b", "d"}


def test_within_a_loss() -> None:
    found = search()
    assert names(found.within_loss(1.55)) == {"b", "c"}
    assert names(found.within_loss(1.0)) == set()
    with pytest.raises(
        RequestError, match=r"max_kl: int8 throughout loses 1 .*Load the model as f16"
    ):
        found.within_loss(0.5)


def test_what_was_predicted_is_measured() -> None:
    """Losses that do more than add up: predicted to hold with three, and measured with two."""
    found = search(extra=0.06)
    assert names(found.within_loss(1.61)) == {"b", "c"}
    assert found.loss_of(found.within_loss(1.61)) <= 1.61


def test_groups_are_operations_and_layers(tmp_path: Path) -> None:
    with lapwing.load(write_llama(tmp_path, seed=1), "int8") as model:
        groups = groups_of(model)
        layers = by_layer(groups)
        saved = sum(each.saved_bytes for each in groups)
        assert saved == sum(each.saved_bytes for each in layers)
        both = model.estimate_memory_usage()
    with lapwing.load(tmp_path, "int4") as model:
        assert both - saved == model.estimate_memory_usage()
    (qkv,) = [each for each in groups if each.name == "model.layers.0.self_attn.q_proj.weight"]
    assert [name.split(".")[-2] for name in qkv.matrices] == ["q_proj", "k_proj", "v_proj"]
    assert {"model.layers.0", "model.layers.1"} <= names(layers)


def test_a_size_on_a_model(tiny_models: TinyModels, tmp_path: Path) -> None:
    """What is promised is what a load with the plan holds, and what is measured with it."""
    directory = tiny_models.directory("base", text=True)
    with lapwing.load(directory, "int8") as model:
        int8 = model.estimate_memory_usage()
    with lapwing.load(directory, "int4") as model:
        int4 = model.estimate_memory_usage()
    target = (int8 + int4) // 2
    seen: list[tuple[int, int]] = []
    choice = lapwing.choose_plan(
        directory,
        text=TEXT,
        target_bytes=target,
        tokens=60,
        seconds=None,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert int4 < choice.held_bytes <= target < choice.int8_bytes == int8
    assert seen[-1][0] <= seen[-1][1]
    choice.plan.write(tmp_path / "plan.json")
    with lapwing.load(directory, tmp_path / "plan.json") as model:
        assert model.estimate_memory_usage() == choice.held_bytes
    result = lapwing.evaluate(
        directory,
        ["int8", choice.plan, "int4"],
        text=TEXT,
        tokens=60,
        window=min(256, 60),
        stride=min(256, 60),
        seconds=None,
    )
    measured = [row.kl_nats.value for row in result.rows if row.kl_nats is not None]
    assert measured[0] == pytest.approx(choice.int8_loss, rel=1e-2)
    assert measured[1] == pytest.approx(choice.measured_loss, rel=1e-2)
    assert measured[0] < measured[1] < measured[2]


def test_a_loss_on_a_model(tiny_models: TinyModels) -> None:
    directory = tiny_models.directory("base", text=True)
    whole = lapwing.choose_plan(directory, text=TEXT, max_kl=1e9, tokens=60, seconds=None)
    assert all(group.int4 for group in whole.groups)
    most = (whole.int8_loss + whole.measured_loss) / 2
    some = lapwing.choose_plan(directory, text=TEXT, max_kl=most, tokens=60, seconds=None)
    assert some.measured_loss <= most
    assert any(group.int4 for group in some.groups)
    assert not all(group.int4 for group in some.groups)


def test_in_no_time_layers_are_the_groups(tiny_models: TinyModels) -> None:
    directory = tiny_models.directory("base", text=True)
    choice = lapwing.choose_plan(directory, text=TEXT, max_kl=1e9, tokens=60, seconds=1e-9)
    assert len(choice.groups) < 6
    assert any(len(group.matrices) > 1 for group in choice.groups)


def test_an_encoder(tiny_encoders: TinyEncoders) -> None:
    directory = tiny_encoders.directory("mean", text=True)
    with lapwing.load(directory, "int8") as model:
        target = model.estimate_memory_usage() - 1
    choice = lapwing.choose_plan(
        directory, text="the king\na wolf\n\nwater in the wood\n", target_bytes=target
    )
    assert choice.loss == "1 − cosine to f32"
    assert choice.held_bytes <= target
    assert choice.scored == 3
    with pytest.raises(RequestError, match="max_kl: an encoder has no distribution"):
        lapwing.choose_plan(directory, text="the king", max_kl=1.0)


def test_refused(tiny_models: TinyModels) -> None:
    directory = tiny_models.directory("base", text=True)
    with pytest.raises(DoesNotFitError, match=r"target size: .* as int4 throughout, more than 1"):
        lapwing.choose_plan(directory, text=TEXT, target_bytes=1000)
    for both in ({}, {"target_bytes": 1, "max_kl": 1.0}):
        with pytest.raises(RequestError, match="expected either target_bytes or max_kl"):
            lapwing.choose_plan(directory, text=TEXT, **both)  # type: ignore[arg-type]
