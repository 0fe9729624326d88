"""BERT (Devlin et al. 2018) and the encoders that share its blocks.

Post-norm blocks, every token sees all of its sequence, learned positions. Where a family keeps
which tensor is data (`BertLayout`); its own file has that and its configuration: distilbert.py,
electra.py, roberta.py. Names and defaults are those of transformers' `models/bert`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lapwing.backends.base import Floats
from lapwing.layers.ops import Head, LayerNorm, Linear, Ops
from lapwing.layers.step import EncoderPass, Pass
from lapwing.models.config import (
    ACTIVATIONS,
    ConfigReader,
    read_activation,
    read_heads,
    read_labels,
)
from lapwing.weights.scope import Scope

MAX_LAYERS = 4096  # of a config taken seriously
# Buffers of old exports, and pretraining heads: whether B follows A, which tokens were replaced.
KNOWN_EXTRAS = ("*.position_ids", "cls.seq_relationship.*", "discriminator_predictions.*")


@dataclass(frozen=True)
class BertConfig:
    """Keys of transformers' `configuration_bert.py`, for all families that share the blocks."""

    vocab_size: int
    hidden_size: int
    embedding_size: int  # of the tables; BERT's is hidden_size
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str
    layer_norm_eps: float
    max_position_embeddings: int
    type_vocab_size: int  # 0: no such table
    first_position: int  # index of a sequence's first token
    pad_token_id: int | None  # only where padding moves positions
    tie_word_embeddings: bool
    labels: tuple[str, ...]
    problem_type: str | None
    architectures: tuple[str, ...]
    model_type: str = "bert"

    @property
    def context_length(self) -> int:
        """Tokens of a sequence, at most."""
        return self.max_position_embeddings - self.first_position

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], where: str) -> BertConfig:
        """Raises ConfigError naming the key."""
        return read_bert_config(config, where, model_type="bert")


def read_bert_config(
    config: Mapping[str, Any],
    where: str,
    *,
    model_type: str,
    vocab_size: int = 30522,
    hidden_size: int = 768,
    num_attention_heads: int = 12,
    intermediate_size: int = 3072,
    embedding_size: int | None = None,
    pad_token_id: int | None = None,
) -> BertConfig:
    """BERT's keys with a family's defaults.

    embedding_size: None where it is no key and equals hidden_size. pad_token_id: None where
    padding does not move positions.
    """
    read = ConfigReader(config, where)
    D = read.get("hidden_size", hidden_size, at_least=1)
    pad = None if pad_token_id is None else read.get("pad_token_id", pad_token_id, at_least=0)
    first_position = 0 if pad is None else pad + 1
    result = BertConfig(
        vocab_size=read.get("vocab_size", vocab_size, at_least=1),
        hidden_size=D,
        embedding_size=(
            D if embedding_size is None else read.get("embedding_size", embedding_size, at_least=1)
        ),
        num_hidden_layers=read.get("num_hidden_layers", 12, at_least=1, at_most=MAX_LAYERS),
        num_attention_heads=read_heads(read, "num_attention_heads", num_attention_heads, D),
        intermediate_size=read.get("intermediate_size", intermediate_size, at_least=1),
        hidden_act=read_activation(read, "hidden_act", "gelu"),
        layer_norm_eps=read.get("layer_norm_eps", 1e-12, at_least=0),
        max_position_embeddings=read.get(
            "max_position_embeddings", 512, at_least=first_position + 1
        ),
        type_vocab_size=read.get("type_vocab_size", 2, at_least=1),
        first_position=first_position,
        pad_token_id=pad,
        tie_word_embeddings=read.get("tie_word_embeddings", True),
        **read_labels(config, where),
        model_type=model_type,
    )
    finish_encoder_config(read, config)
    return result


def finish_encoder_config(read: ConfigReader, config: Mapping[str, Any]) -> None:
    """What all encoders refuse, and what only served their training."""
    read.refuse("position_embedding_type", ["absolute"], "only learned positions are")
    read.refuse("is_decoder", [False], "this is an encoder here")
    read.refuse("add_cross_attention", [False], "encoder-decoder models need a decoder")
    read.refuse("pruned_heads", [{}], "remove the heads from the weights and save again")
    read.refuse("quantization_config", [], "use the unquantized checkpoint; see dtype=")
    read.ignore("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
    # Of the TensorFlow original; transformers reads none of them.
    read.ignore("directionality", *(key for key in config if key.startswith("pooler_")))
    read.ignore(*(key for key in config if key.startswith("summary_")))  # heads of other tasks
    read.finish()


@dataclass(frozen=True)
class MaskedHeadNames:
    """dense, activation, norm, then the word embeddings (or a decoder of its own) plus a bias."""

    dense: str
    norm: str
    decoder: str
    bias: str
    activation: str | None = None  # None: hidden_act


@dataclass(frozen=True)
class LabelHeadNames:
    """projection(activation(dense(first token))); `dense` None: the pooler is that."""

    dense: str | None
    activation: str
    projection: str


@dataclass(frozen=True)
class BertLayout:
    """Where a family keeps its tensors: below `prefix`, below a layer, below the top."""

    prefix: str
    masked_head: MaskedHeadNames
    label_head: LabelHeadNames
    layers: str = "encoder.layer"
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    intermediate: str = "intermediate.dense"
    output: str = "output.dense"
    output_norm: str = "output.LayerNorm"


BERT = BertLayout(
    prefix="bert",
    masked_head=MaskedHeadNames(
        dense="cls.predictions.transform.dense",
        norm="cls.predictions.transform.LayerNorm",
        decoder="cls.predictions.decoder",
        bias="cls.predictions.bias",
    ),
    label_head=LabelHeadNames(dense=None, activation="tanh", projection="classifier"),
)


class Layer:
    """h = norm(h + attention(h)), then norm(h + mlp(h)); h is [T, D], packed end to end."""

    def __init__(self, config: BertConfig, weights: Scope, ops: Ops, names: BertLayout) -> None:
        D, F, eps = config.hidden_size, config.intermediate_size, config.layer_norm_eps
        H = config.num_attention_heads
        self.activation = ACTIVATIONS[config.hidden_act]
        scopes = [weights[name] for name in (names.query, names.key, names.value)]
        self.qkv = ops.joined_linear(scopes, D, (D, D, D))
        self.attend = ops.bidirectional_attention(H, (D // H) ** -0.5)
        self.attention_output = ops.linear(weights[names.attention_output], D, D)
        self.attention_norm = ops.layer_norm(weights[names.attention_norm], D, eps)
        self.intermediate = ops.linear(weights[names.intermediate], D, F)
        self.output = ops.linear(weights[names.output], F, D)
        self.output_norm = ops.layer_norm(weights[names.output_norm], D, eps)

    def __call__(self, h: Floats, step: EncoderPass) -> Floats:
        attended = self.attend(self.qkv(h, step), step)  # [T, D]
        h = self.attention_norm(self.attention_output(attended, step, residual=h))
        inner = self.intermediate(h, step, activation=self.activation)  # [T, F]
        return self.output_norm(self.output(inner, step, residual=h))


def _parent(weights: Scope, path: str) -> tuple[Scope, str]:
    """`a.b.c` → the scope of a.b, and c."""
    above, _, name = path.rpartition(".")
    return weights[above], name


@dataclass(frozen=True)
class Pooler:
    """activation(dense(h of the first token))."""

    dense: Linear
    activation: str

    def __call__(self, first: Floats, step: Pass) -> Floats:
        """[B, D] → [B, D]."""
        return self.dense(first, step, activation=self.activation)


@dataclass(frozen=True)
class MaskedHead:
    """Logits over the vocabulary for the token that stands where h is."""

    dense: Linear
    activation: str
    norm: LayerNorm
    decoder: Head

    def __call__(self, h: Floats, step: Pass) -> Floats:
        """[T, D] → [T, V]."""
        transformed = self.norm(self.dense(h, step, activation=self.activation))
        return self.decoder(transformed, step.precision)


@dataclass(frozen=True)
class LabelHead:
    """Logits over the labels of a whole sequence."""

    pooler: Pooler
    projection: Linear

    def __call__(self, first: Floats, step: Pass) -> Floats:
        """h of first tokens [B, D] → [B, labels]."""
        return self.projection(self.pooler(first, step), step)


class Bert:
    """Token ids → hidden states, and whichever heads the checkpoint has."""

    def __init__(
        self, config: BertConfig, weights: Scope, ops: Ops, names: BertLayout = BERT
    ) -> None:
        self.config, self._names = config, names
        V, D, E = config.vocab_size, config.hidden_size, config.embedding_size
        inside = weights[names.prefix]["embeddings.word_embeddings"].has("weight")
        body = weights[names.prefix] if inside else weights
        embeddings = body["embeddings"]
        masked = weights[names.masked_head.dense].has("weight")
        tied = masked and config.tie_word_embeddings
        self.word_embeddings = ops.embedding(embeddings["word_embeddings"], V, E, tied=tied)
        self.position_embeddings = ops.position_embedding(
            embeddings["position_embeddings"], config.max_position_embeddings, E
        )
        self.token_type_embeddings = (
            ops.type_embedding(embeddings["token_type_embeddings"], config.type_vocab_size, E)
            if config.type_vocab_size
            else None
        )
        self.embeddings_norm = ops.layer_norm(embeddings["LayerNorm"], E, config.layer_norm_eps)
        self.embeddings_project = ops.linear(body["embeddings_project"], E, D) if E != D else None
        self.layers = [
            Layer(config, body[f"{names.layers}.{i}"], ops, names)
            for i in range(config.num_hidden_layers)
        ]
        pooled = body["pooler.dense"]
        self.pooler = Pooler(ops.linear(pooled, D, D), "tanh") if pooled.has("weight") else None
        self.masked_head = self._masked_head(weights, ops) if masked else None
        self.label_head = self._label_head(weights, ops)

    def _masked_head(self, weights: Scope, ops: Ops) -> MaskedHead:
        config, names = self.config, self._names.masked_head
        V, D, E = config.vocab_size, config.hidden_size, config.embedding_size
        dense = ops.linear(weights[names.dense], D, E)
        norm = ops.layer_norm(weights[names.norm], E, config.layer_norm_eps)
        if config.tie_word_embeddings:
            bias = ops.bias(*_parent(weights, names.bias), V)
            decoder = self.word_embeddings.as_head(bias)
        else:  # transformers 5 gives such a decoder a bias of its own; before, the head's was it
            own = f"{names.decoder}.bias"
            stored = own if weights[names.decoder].has("bias") else names.bias
            bias = ops.bias(*_parent(weights, stored), V)
            decoder = ops.head(weights[names.decoder], E, V, bias)
        activation = ACTIVATIONS[names.activation or config.hidden_act]
        return MaskedHead(dense, activation, norm, decoder)

    def _label_head(self, weights: Scope, ops: Ops) -> LabelHead | None:
        """None where there is none, or one of another task under the same name."""
        names, D = self._names.label_head, self.config.hidden_size
        architectures = self.config.architectures
        meant = any("ForSequenceClassification" in name for name in architectures)
        if not weights[names.projection].has("weight") or not (meant or not architectures):
            return None
        if names.dense is None:
            pooler = self.pooler
        else:
            pooler = Pooler(ops.linear(weights[names.dense], D, D), names.activation)
        if pooler is None:
            return None
        n_labels = len(self.config.labels)
        return LabelHead(pooler, ops.linear(weights[names.projection], D, n_labels))

    @property
    def known_extras(self) -> tuple[str, ...]:
        """Patterns of stored tensors that the model does not use."""
        names = self._names.masked_head
        unused = f"{names.decoder}.*" if self.config.tie_word_embeddings else names.bias
        return (*KNOWN_EXTRAS, unused)

    def __call__(self, step: EncoderPass) -> Floats:
        """h [T, D]."""
        added = [(self.position_embeddings, step.positions)]
        if self.token_type_embeddings is not None:
            added.append((self.token_type_embeddings, step.token_types))
        h = self.embeddings_norm(self.word_embeddings(step.ids, *added))  # [T, E]
        if self.embeddings_project is not None:
            h = self.embeddings_project(h, step)
        for layer in self.layers:
            h = layer(h, step)
        return h
