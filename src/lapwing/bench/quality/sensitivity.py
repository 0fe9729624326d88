"""What lowering one group of matrices to int4 costs, and which to lower for least."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lapwing.bench.quality.causal import encode
from lapwing.bench.quality.distance import cosine_of_rows
from lapwing.bench.quality.estimate import mean_of
from lapwing.bench.quality.measure import LiveReference, Progress, measure
from lapwing.bench.quality.opened import Name, Opened
from lapwing.bench.quality.predict import ModelPredictor
from lapwing.bench.quality.reference import Keeper, KeptReference
from lapwing.bench.quality.request import Text
from lapwing.bench.quality.windows import windows
from lapwing.engine.load import load
from lapwing.engine.model import Model
from lapwing.errors import RequestError
from lapwing.layers.parameter import Parameter
from lapwing.quant import scheme
from lapwing.weights.plan import Plan

WINDOW = 256  # tokens; the next begins behind it: how well they are predicted is not the question
MOST_TEXTS = 512
BESIDE = 4  # measurements beside those of the groups: int8, and the choice, perhaps twice
_LAYER = re.compile(r"(?:.*\.)?(?:h|layers?)\.\d+(?=\.)")


@dataclass(frozen=True)
class Group:
    """Matrices that are lowered together. added_loss: to int8's, where these alone are int4."""

    name: str
    matrices: tuple[str, ...]
    saved_bytes: int
    added_loss: float = 0.0
    int4: bool = False


def groups_of(model: Model) -> list[Group]:
    """Matrices of one operation each, in the order of use.

    An embedding's look-ups read both planes, so that nothing is saved by lowering a tied head.
    """
    found: dict[str, list[Parameter]] = {}
    for parameter in model.parameters:
        if parameter.quantized and parameter.role in ("linear", "head"):
            found.setdefault(parameter.group, []).append(parameter)
    return [
        Group(name, tuple(each.tensor.name for each in held), sum(map(_refine_bytes, held)))
        for name, held in found.items()
    ]


def _refine_bytes(parameter: Parameter) -> int:
    both, base = (
        scheme.plane_bytes(parameter.N, parameter.K, refine=refine) for refine in (True, False)
    )
    return both - base


def by_layer(groups: Sequence[Group]) -> list[Group]:
    """All of a layer as one group."""
    found: dict[str, list[Group]] = {}
    for each in groups:
        layer = _LAYER.match(each.name)
        found.setdefault(layer[0] if layer else each.name, []).append(each)
    return [
        Group(
            name,
            tuple(matrix for each in parts for matrix in each.matrices),
            sum(each.saved_bytes for each in parts),
        )
        for name, parts in found.items()
    ]


@dataclass(frozen=True)
class Lossy:
    """How much is lost by a plan. what: the loss; scored: over so many positions or texts.

    slow: one measurement for every group takes longer than there is time.
    """

    what: str
    scored: int
    slow: bool
    of: Callable[[Plan], float]


def kl_to_f32(
    model: Name,
    int8: Opened,
    text: Text,
    tokens: int,
    seconds: float | None,
    groups: int,
    **loading: Any,
) -> Lossy:
    """Mean KL to float32, over as many windows as there is time for: one at least."""
    ids, _ = encode(int8.model, text, tokens)
    length = min(WINDOW, int8.model.context_length, max(2, len(ids)))
    blocks = windows(len(ids), length, length)
    with load(model, "f32", **loading) as f32:
        V = f32.config.vocab_size

        def reference(count: int) -> KeptReference:
            keeper = Keeper(sum(each.scored for each in blocks[:count]), V)
            live = LiveReference(ModelPredictor(f32, "f32"), keeper.add)
            measure(ids, blocks[:count], live, [])
            return KeptReference(V, *keeper.collected(), blocks[:count])

        first = reference(1)

        def loss(kept: KeptReference, count: int, other: Model, precision: str) -> float:
            found = measure(ids, blocks[:count], kept, [ModelPredictor(other, precision)])
            if found.stopped == "interrupted":
                raise KeyboardInterrupt
            return mean_of(found.candidates[0].column("kl")).value

        count, slow = _affordable(
            lambda: loss(first, 1, int8.model, "int8"), len(blocks), groups, seconds
        )
        kept = reference(count)

    def of(plan: Plan) -> float:
        with load(model, plan, **loading) as mixed:
            return loss(kept, count, mixed, mixed.dtype)

    return Lossy("KL to f32, nats", sum(each.scored for each in blocks[:count]), slow, of)


def cosine_to_f32(
    model: Name, int8: Opened, text: Text, seconds: float | None, groups: int, **loading: Any
) -> Lossy:
    """1 − mean cosine to float32's vectors, over the first lines of the text."""
    texts = [line for line in text.content.splitlines() if line.strip()][:MOST_TEXTS]
    if not texts:
        raise RequestError("text: there is no line in it that is not blank")
    part = texts[:64]
    count, slow = _affordable(
        lambda: int8.model.embed(part), max(1, len(texts) // len(part)), groups, seconds
    )
    texts = texts[: count * len(part)]
    with load(model, "f32", **loading) as f32:
        want = f32.embed(texts)

    def of(plan: Plan) -> float:
        with load(model, plan, **loading) as mixed:
            return 1 - float(cosine_of_rows(want, mixed.embed(texts)).mean())

    return Lossy("1 − cosine to f32", len(texts), slow, of)


def _affordable(
    one: Callable[[], object], most: int, groups: int, seconds: float | None
) -> tuple[int, bool]:
    """How many blocks can be measured for every group in time, and whether not even one can."""
    if seconds is None:
        return most, False
    one()  # the first pass reads weights from the disk
    began_s = time.monotonic()
    one()
    block_s = (time.monotonic() - began_s) * (groups + BESIDE)
    return max(1, min(most, int(seconds / block_s))), block_s > seconds


class Search:
    """Measures every group once; then chooses, and measures what was chosen."""

    def __init__(self, lossy: Lossy, groups: Sequence[Group], progress: Progress | None) -> None:
        self._lossy, self._progress = lossy, progress
        self._known: dict[Plan, float] = {}
        self._total = len(groups) + BESIDE
        self.int8 = self.loss_of([])
        self.groups = [
            replace(each, added_loss=self.loss_of([each]) - self.int8) for each in groups
        ]

    @property
    def _in_order(self) -> list[Group]:
        """The cheapest byte first; what costs nothing, by chance, is as cheap as anything."""
        return sorted(self.groups, key=lambda each: max(each.added_loss, 0.0) / each.saved_bytes)

    def loss_of(self, lowered: Sequence[Group]) -> float:
        """Measured, with these groups as int4."""
        plan = Plan(frozenset(name for each in lowered for name in each.matrices))
        if plan not in self._known:
            self._known[plan] = self._lossy.of(plan)
            if self._progress is not None:
                done = len(self._known)
                self._progress(done, max(done, self._total))
        return self._known[plan]

    def predicted(self, lowered: Sequence[Group]) -> float:
        """As if costs added up."""
        return self.int8 + sum(each.added_loss for each in lowered)

    def within_bytes(self, to_save: int) -> list[Group]:
        """Groups to lower that save so much, for little."""
        chosen: list[Group] = []
        saved = 0
        for each in self._in_order:
            if saved >= to_save:
                break
            chosen.append(each)
            saved += each.saved_bytes
        for each in sorted(chosen, key=lambda each: -each.added_loss):
            if saved - each.saved_bytes >= to_save:  # a larger one came later and made it needless
                chosen.remove(each)
                saved -= each.saved_bytes
        return chosen

    def within_loss(self, most: float) -> list[Group]:
        """As many of the cheapest groups as predicted to stay within; fewer, if measured not to.

        Raises RequestError where int8 alone loses more.
        """
        if self.int8 > most:
            raise RequestError(
                f"max_kl: int8 throughout loses {self.int8:.3g} ({self._lossy.what}) on this text, "
                f"more than {most:.3g}. Load the model as f16, or allow more."
            )
        order = self._in_order
        count = 0
        while count < len(order) and self.predicted(order[: count + 1]) <= most:
            count += 1
        within, beyond = 0, count + 1  # so many are measured to stay within, or not to
        while beyond - within > 1:
            if self.loss_of(order[:count]) <= most:
                within = count
            else:
                beyond = count
            count = (within + beyond) // 2
        return order[:within]
