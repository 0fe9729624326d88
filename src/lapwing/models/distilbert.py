"""DistilBERT (Sanh et al. 2019): BERT's blocks under other names, no token types, no pooler.

Names and defaults of transformers' `models/distilbert`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lapwing.models.bert import (
    MAX_LAYERS,
    BertConfig,
    BertLayout,
    LabelHeadNames,
    MaskedHeadNames,
    finish_encoder_config,
)
from lapwing.models.config import ConfigReader, read_activation, read_heads, read_labels

DISTILBERT = BertLayout(
    prefix="distilbert",
    masked_head=MaskedHeadNames(
        dense="vocab_transform",
        norm="vocab_layer_norm",
        decoder="vocab_projector",
        bias="vocab_projector.bias",
    ),
    label_head=LabelHeadNames(dense="pre_classifier", activation="relu", projection="classifier"),
    layers="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_output="attention.out_lin",
    attention_norm="sa_layer_norm",
    intermediate="ffn.lin1",
    output="ffn.lin2",
    output_norm="output_layer_norm",
)


def read_distilbert_config(config: Mapping[str, Any], where: str) -> BertConfig:
    """Keys and defaults of transformers' `configuration_distilbert.py`. Raises ConfigError."""
    read = ConfigReader(config, where)
    dim = read.get("dim", 768, at_least=1)
    result = BertConfig(
        vocab_size=read.get("vocab_size", 30522, at_least=1),
        hidden_size=dim,
        embedding_size=dim,
        num_hidden_layers=read.get("n_layers", 6, at_least=1, at_most=MAX_LAYERS),
        num_attention_heads=read_heads(read, "n_heads", 12, dim),
        intermediate_size=read.get("hidden_dim", 4 * 768, at_least=1),
        hidden_act=read_activation(read, "activation", "gelu"),
        layer_norm_eps=1e-12,  # modeling_distilbert.py: not in the config
        max_position_embeddings=read.get("max_position_embeddings", 512, at_least=1),
        type_vocab_size=0,
        first_position=0,
        pad_token_id=None,
        tie_word_embeddings=read.get("tie_word_embeddings", True),
        **read_labels(config, where),
        model_type="distilbert",
    )
    # How the positions were begun, dropout, and a key of early exports.
    read.ignore("sinusoidal_pos_embds", "dropout", "attention_dropout", "qa_dropout")
    read.ignore("seq_classif_dropout", "tie_weights_")
    finish_encoder_config(read, config)
    return result
