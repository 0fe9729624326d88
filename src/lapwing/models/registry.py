"""model_type of config.json → family."""

from __future__ import annotations

import logging

from lapwing.errors import ConfigError
from lapwing.layers.ops import Ops
from lapwing.models.base import LanguageModel
from lapwing.models.gpt2 import GPT2, GPT2Config
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.scope import Scope

log = logging.getLogger("lapwing.models")

FAMILIES = ("gpt2",)


def build(checkpoint: Checkpoint, ops: Ops) -> LanguageModel:
    """The model of a checkpoint, every tensor asked for by name and shape, none of them read.

    Raises ConfigError for a family or a configuration that is not supported, WeightsError with all
    missing and misshaped tensors.
    """
    where = str(checkpoint.directory / "config.json")
    model_type = checkpoint.config.get("model_type")
    if model_type not in FAMILIES:
        raise ConfigError(
            f"{where}: 'model_type': expected one of {', '.join(FAMILIES)}; got {model_type!r}"
        )
    config = GPT2Config.from_dict(checkpoint.config, where)
    scope = Scope.root(checkpoint)
    model = GPT2(config, scope, ops)
    extras = scope.finish(GPT2.known_extras(config))
    if extras:
        shown = ", ".join(extras[:10]) + (", …" if len(extras) > 10 else "")
        log.warning("%s: %d tensors are not used: %s", checkpoint.directory, len(extras), shown)
    return model
