"""Layers of a loaded model, each to be loaded and given up by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lapwing.layers.parameter import Parameter

# What checkpoints call a layer: h.3 (GPT-2), layers.3 (Llama), encoder.layer.3 (BERT).
_LAYER = re.compile(r"(?:^|\.)(?:h|layers?)\.(\d+)\.")


@dataclass(frozen=True)
class LayerHandle:
    """One layer's weights, or those before the first (index None) or behind the last.

    What was given up is loaded again when it is next used.
    """

    index: int | None
    parameters: tuple[Parameter, ...]
    before_release: Callable[[], None]

    @property
    def loaded(self) -> bool:
        """Whether all of it is held."""
        return all(parameter.loaded for parameter in self.parameters)

    @property
    def held_bytes(self) -> int:
        """What it takes while it is loaded."""
        return sum(parameter.held_bytes for parameter in self.parameters)

    def load(self) -> None:
        """Reads it now."""
        for parameter in self.parameters:
            parameter.load()

    def release(self) -> None:
        """Gives its memory back, and the pages of the file. Not beside a pass that uses it."""
        self.before_release()
        for parameter in self.parameters:
            parameter.release()


def layers_of(
    parameters: Sequence[Parameter], before_release: Callable[[], None]
) -> tuple[LayerHandle, ...]:
    """By the numbers in the names of their tensors."""
    groups: dict[int, list[Parameter]] = {}
    for parameter in parameters:
        found = _LAYER.search(parameter.tensor.name)
        if found:
            groups.setdefault(int(found[1]), []).append(parameter)
    return tuple(
        LayerHandle(index, tuple(groups[index]), before_release) for index in sorted(groups)
    )


def outside_of(
    parameters: Sequence[Parameter], before_release: Callable[[], None]
) -> tuple[LayerHandle, LayerHandle]:
    """What comes before the first layer, and what comes after the last; in the order of use."""
    numbered = [at for at, p in enumerate(parameters) if _LAYER.search(p.tensor.name)]
    first, last = (numbered[0], numbered[-1] + 1) if numbered else (len(parameters),) * 2
    before, behind = tuple(parameters[:first]), tuple(parameters[last:])
    return LayerHandle(None, before, before_release), LayerHandle(None, behind, before_release)
