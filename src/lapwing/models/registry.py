"""model_type of config.json → family."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from lapwing.errors import ConfigError
from lapwing.layers.ops import Ops
from lapwing.models.bert import BERT, Bert, BertConfig, BertLayout
from lapwing.models.distilbert import DISTILBERT, read_distilbert_config
from lapwing.models.electra import ELECTRA, read_electra_config
from lapwing.models.gpt2 import GPT2, GPT2Config
from lapwing.models.roberta import ROBERTA, read_roberta_config
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.scope import Scope

log = logging.getLogger("lapwing.models")

ENCODERS: dict[str, tuple[Callable[[Mapping[str, Any], str], BertConfig], BertLayout]] = {
    "bert": (BertConfig.from_dict, BERT),
    "distilbert": (read_distilbert_config, DISTILBERT),
    "electra": (read_electra_config, ELECTRA),
    "roberta": (read_roberta_config, ROBERTA),
    "xlm-roberta": (read_roberta_config, ROBERTA),
    "camembert": (read_roberta_config, ROBERTA),
}
FAMILIES = ("gpt2", *ENCODERS)


def build(checkpoint: Checkpoint, ops: Ops) -> GPT2 | Bert:
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
    scope = Scope.root(checkpoint)
    model: GPT2 | Bert
    if model_type in ENCODERS:
        read_config, names = ENCODERS[model_type]
        model = Bert(read_config(checkpoint.config, where), scope, ops, names)
    else:
        model = GPT2(GPT2Config.from_dict(checkpoint.config, where), scope, ops)
    extras = scope.finish(model.known_extras)
    if extras:
        shown = ", ".join(extras[:10]) + (", …" if len(extras) > 10 else "")
        log.warning("%s: %d tensors are not used: %s", checkpoint.directory, len(extras), shown)
    return model
