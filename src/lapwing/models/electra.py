"""ELECTRA (Clark et al. 2020): BERT's blocks on narrower embeddings, no pooler.

Names and defaults of transformers' `models/electra`.
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

ELECTRA = BertLayout(
    prefix="electra",
    masked_head=MaskedHeadNames(
        dense="generator_predictions.dense",
        norm="generator_predictions.LayerNorm",
        decoder="generator_lm_head",
        bias="generator_lm_head.bias",
        activation="gelu",
    ),
    label_head=LabelHeadNames(
        dense="classifier.dense", activation="gelu", projection="classifier.out_proj"
    ),
)


def read_electra_config(config: Mapping[str, Any], where: str) -> BertConfig:
    """Keys and defaults of transformers' `configuration_electra.py`. Raises ConfigError."""
    return read_bert_config(
        config,
        where,
        model_type="electra",
        hidden_size=256,
        num_attention_heads=4,
        intermediate_size=1024,
        embedding_size=128,
    )
