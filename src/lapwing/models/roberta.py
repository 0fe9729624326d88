"""RoBERTa, XLM-RoBERTa and CamemBERT: BERT's blocks, other heads, positions behind padding.

Names and defaults of transformers' `models/roberta`, `models/xlm_roberta`, `models/camembert`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lapwing.models.bert import (
    BertConfig,
    BertLayout,
    LabelHeadNames,
    MaskedHeadNames,
    read_bert_config,
)

ROBERTA = BertLayout(
    prefix="roberta",
    masked_head=MaskedHeadNames(
        dense="lm_head.dense",
        norm="lm_head.layer_norm",
        decoder="lm_head.decoder",
        bias="lm_head.bias",
        activation="gelu",
    ),
    label_head=LabelHeadNames(
        dense="classifier.dense", activation="tanh", projection="classifier.out_proj"
    ),
)
VOCAB_SIZES = {"roberta": 50265, "xlm-roberta": 30522, "camembert": 30522}


def read_roberta_config(config: Mapping[str, Any], where: str) -> BertConfig:
    """Positions start at pad_token_id + 1. Raises ConfigError naming the key."""
    kind = config["model_type"]
    return read_bert_config(
        config, where, model_type=kind, vocab_size=VOCAB_SIZES[kind], pad_token_id=1
    )
