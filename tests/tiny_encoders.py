"""Tiny random encoders of every family and head, the same bytes from the same seed everywhere.

Drawn like the GPT-2s of tiny.py.  Tensor names and config keys are those that transformers writes
(`models/{bert,distilbert,roberta,xlm_roberta,camembert,electra}`), and those of older files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tiny import Draw, Dtype, Tensor, write_safetensors, write_shards

Family = Literal["bert", "distilbert", "roberta", "xlm-roberta", "camembert", "electra"]
Head = Literal["none", "none_without_pooler", "mlm", "classification", "pretraining"]
Rows = tuple[tuple[str, ...], ...]

ROBERTAS = ("roberta", "xlm-roberta", "camembert")
LONGEST = 24  # tokens that a checkpoint takes where its variant says nothing

# What a family calls its classes, and the prefix of its body in a checkpoint with a head.
_CLASSES = {
    "bert": ("Bert", "bert"),
    "distilbert": ("DistilBert", "distilbert"),
    "roberta": ("Roberta", "roberta"),
    "xlm-roberta": ("XLMRoberta", "roberta"),
    "camembert": ("Camembert", "roberta"),
    "electra": ("Electra", "electra"),
}
_SUFFIXES = {
    "none": "Model",
    "none_without_pooler": "Model",
    "mlm": "ForMaskedLM",
    "classification": "ForSequenceClassification",
    "pretraining": "ForPreTraining",
}
_POOLED = {  # heads whose checkpoint has the pooler, by family; the other families have none
    "bert": ("none", "classification", "pretraining"),
    **dict.fromkeys(ROBERTAS, ("none",)),
}
# Tensors: what, below which name, of which sizes.  A linear is [out, in], here given as in, out.
_BERT_TABLES = (
    ("table", "embeddings.word_embeddings", "V", "E"),
    ("table", "embeddings.position_embeddings", "P", "E"),
    ("table", "embeddings.token_type_embeddings", "types", "E"),
    ("norm", "embeddings.LayerNorm", "E"),
)
_BERT_LAYER = (
    ("linear", "attention.self.query", "D", "D"),
    ("linear", "attention.self.key", "D", "D"),
    ("linear", "attention.self.value", "D", "D"),
    ("linear", "attention.output.dense", "D", "D"),
    ("norm", "attention.output.LayerNorm", "D"),
    ("linear", "intermediate.dense", "D", "F"),
    ("linear", "output.dense", "F", "D"),
    ("norm", "output.LayerNorm", "D"),
)
_DISTILBERT_LAYER = (
    ("linear", "attention.q_lin", "D", "D"),
    ("linear", "attention.k_lin", "D", "D"),
    ("linear", "attention.v_lin", "D", "D"),
    ("linear", "attention.out_lin", "D", "D"),
    ("norm", "sa_layer_norm", "D"),
    ("linear", "ffn.lin1", "D", "F"),
    ("linear", "ffn.lin2", "F", "D"),
    ("norm", "output_layer_norm", "D"),
)
_BERT_MLM = (
    ("bias", "cls.predictions.bias", "V"),
    ("linear", "cls.predictions.transform.dense", "D", "D"),
    ("norm", "cls.predictions.transform.LayerNorm", "D"),
)
_ROBERTA_HEADS: dict[str, Rows] = {
    "mlm": (
        ("bias", "lm_head.bias", "V"),
        ("linear", "lm_head.dense", "D", "D"),
        ("norm", "lm_head.layer_norm", "D"),
    ),
    "classification": (
        ("linear", "classifier.dense", "D", "D"),
        ("linear", "classifier.out_proj", "D", "labels"),
    ),
}
_HEADS: dict[str, dict[str, Rows]] = {
    "bert": {
        "mlm": _BERT_MLM,
        "pretraining": (*_BERT_MLM, ("linear", "cls.seq_relationship", "D", "two")),
        "classification": (("linear", "classifier", "D", "labels"),),
    },
    "distilbert": {
        "mlm": (
            ("linear", "vocab_transform", "D", "D"),
            ("norm", "vocab_layer_norm", "D"),
            ("bias", "vocab_projector.bias", "V"),
        ),
        "classification": (
            ("linear", "pre_classifier", "D", "D"),
            ("linear", "classifier", "D", "labels"),
        ),
    },
    **dict.fromkeys(ROBERTAS, _ROBERTA_HEADS),
    "electra": {
        "mlm": (
            ("norm", "generator_predictions.LayerNorm", "E"),
            ("linear", "generator_predictions.dense", "D", "E"),
            ("bias", "generator_lm_head.bias", "V"),
        ),
        "classification": _ROBERTA_HEADS["classification"],
        "pretraining": (
            ("linear", "discriminator_predictions.dense", "D", "D"),
            ("linear", "discriminator_predictions.dense_prediction", "D", "one"),
        ),
    },
}
# The decoder of a masked head, and the bias that it has beside the head's where it is not tied.
_DECODERS: dict[str, tuple[str, str | None]] = {
    "bert": ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias"),
    "distilbert": ("vocab_projector.weight", None),
    **dict.fromkeys(ROBERTAS, ("lm_head.decoder.weight", "lm_head.decoder.bias")),
    "electra": ("generator_lm_head.weight", None),
}
_DISTILBERT_KEYS = {
    "hidden_act": "activation",
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
}

# Named variants for `write_encoder`: each family with each head, then each way to be wrong.
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": {"family": "bert"},
    "bert_bare": {"family": "bert", "head": "none_without_pooler"},
    "bert_mlm": {"family": "bert", "head": "mlm"},
    "bert_labels": {"family": "bert", "head": "classification"},
    "bert_pretraining": {"family": "bert", "head": "pretraining"},
    "distilbert": {"family": "distilbert"},
    "distilbert_mlm": {"family": "distilbert", "head": "mlm"},
    "distilbert_labels": {"family": "distilbert", "head": "classification"},
    "roberta": {"family": "roberta"},
    "roberta_bare": {"family": "roberta", "head": "none_without_pooler"},
    "roberta_mlm": {"family": "roberta", "head": "mlm"},
    "roberta_labels": {"family": "roberta", "head": "classification"},
    "xlm_roberta": {"family": "xlm-roberta"},
    "xlm_roberta_bare": {"family": "xlm-roberta", "head": "none_without_pooler"},
    "xlm_roberta_mlm": {"family": "xlm-roberta", "head": "mlm"},
    "xlm_roberta_labels": {"family": "xlm-roberta", "head": "classification"},
    "camembert": {"family": "camembert"},
    "camembert_bare": {"family": "camembert", "head": "none_without_pooler"},
    "camembert_mlm": {"family": "camembert", "head": "mlm"},
    "camembert_labels": {"family": "camembert", "head": "classification"},
    "electra": {"family": "electra"},
    "electra_mlm": {"family": "electra", "head": "mlm"},
    "electra_labels": {"family": "electra", "head": "classification"},
    "electra_pretraining": {"family": "electra", "head": "pretraining"},
    # Sizes.
    "odd": {  # heads of 12
        "family": "bert",
        "head": "mlm",
        "hidden_size": 60,
        "num_attention_heads": 5,
        "intermediate_size": 101,
        "vocab_size": 97,
    },
    "prime": {  # heads of 7
        "family": "bert",
        "head": "classification",
        "hidden_size": 35,
        "num_attention_heads": 5,
        "intermediate_size": 37,
        "labels": ("a", "b", "c"),
    },
    "distilbert_odd": {  # heads of 12
        "family": "distilbert",
        "head": "mlm",
        "hidden_size": 36,
        "num_attention_heads": 3,
        "intermediate_size": 51,
        "vocab_size": 71,
    },
    "electra_odd": {  # heads of 7, tables of 19
        "family": "electra",
        "head": "mlm",
        "hidden_size": 35,
        "embedding_size": 19,
        "num_attention_heads": 5,
        "intermediate_size": 53,
        "vocab_size": 67,
    },
    "electra_wide_tables": {"family": "electra", "head": "classification", "embedding_size": 40},
    "electra_equal": {"family": "electra", "head": "mlm", "embedding_size": 32},
    "wide": {  # heads of 80, K beyond one 128 block
        "family": "bert",
        "hidden_size": 160,
        "num_attention_heads": 2,
        "intermediate_size": 200,
        "num_hidden_layers": 1,
    },
    "one_head": {"family": "roberta", "num_attention_heads": 1, "num_hidden_layers": 3},
    "narrow_heads": {  # heads of 2
        "family": "xlm-roberta",
        "head": "classification",
        "hidden_size": 24,
        "num_attention_heads": 12,
    },
    "long": {"family": "bert", "max_position_embeddings": 260},
    "long_roberta": {"family": "roberta", "max_position_embeddings": 260},
    # Activations; the heads of RoBERTa and ELECTRA have a gelu of their own.
    "gelu_new": {"family": "bert", "head": "mlm", "hidden_act": "gelu_new"},
    "gelu_pytorch_tanh": {"family": "roberta", "head": "mlm", "hidden_act": "gelu_pytorch_tanh"},
    "relu": {"family": "distilbert", "head": "mlm", "hidden_act": "relu"},
    "silu": {"family": "bert", "head": "pretraining", "hidden_act": "silu"},
    "tanh": {"family": "electra", "head": "mlm", "hidden_act": "tanh"},
    "relu_labels": {"family": "electra", "head": "classification", "hidden_act": "relu"},
    # Keys of the config.
    "large_epsilon": {"family": "bert", "head": "mlm", "layer_norm_eps": 0.1},
    "large_epsilon_electra": {"family": "electra", "head": "mlm", "layer_norm_eps": 0.1},
    "one_type": {"family": "bert", "head": "mlm", "type_vocab_size": 1},
    "four_types": {"family": "roberta", "head": "mlm", "type_vocab_size": 4},
    "other_pad": {"family": "roberta", "extra_config": {"pad_token_id": 4}, "vocab_size": 23},
    "regression": {"family": "bert", "head": "classification", "labels": ("LABEL_0",)},
    "multi_label": {
        "family": "roberta",
        "head": "classification",
        "labels": ("admiration", "anger", "fear", "joy", "neutral", "sadness", "surprise"),
        "extra_config": {"problem_type": "multi_label_classification"},
    },
    "unnamed_labels": {"family": "distilbert", "head": "classification", "labels": ()},
    # Layouts of files.
    "untied": {"family": "bert", "head": "mlm", "decoder": "own"},
    "untied_distilbert": {"family": "distilbert", "head": "mlm", "decoder": "own"},
    "untied_roberta": {"family": "roberta", "head": "mlm", "decoder": "own"},
    "untied_electra": {"family": "electra", "head": "mlm", "decoder": "own"},
    "copied_decoder": {"family": "distilbert", "head": "mlm", "decoder": "copied"},
    "old_bert": {  # like google-bert/bert-base-uncased
        "family": "bert",
        "head": "pretraining",
        "layout": "old",
        "decoder": "copied",
        "config_generation": "torch_dtype",
    },
    "old_bare": {  # like sentence-transformers/all-MiniLM-L6-v2
        "family": "bert",
        "position_buffer": True,
        "config_generation": "torch_dtype",
    },
    "old_prefixed": {"family": "bert", "layout": "old", "prefixed": True},
    "old_roberta": {  # like FacebookAI/roberta-base: a pooler beside the masked head
        "family": "roberta",
        "head": "mlm",
        "extra_pooler": True,
        "position_buffer": True,
        "config_generation": "torch_dtype",
    },
    "f16": {"family": "bert", "head": "mlm", "dtype": "F16"},
    "bf16": {"family": "roberta", "head": "classification", "dtype": "BF16"},
    "f16_electra": {"family": "electra", "head": "mlm", "dtype": "F16", "embedding_size": 20},
    "sharded": {
        "family": "distilbert",
        "head": "mlm",
        "dtype": "BF16",
        "shards": 3,
        "config_generation": "torch_dtype",
    },
    "sharded_old": {"family": "bert", "head": "pretraining", "layout": "old", "shards": 3},
}


def write_encoder(
    directory: Path,
    *,
    seed: int,
    family: Family,
    head: Head = "none",
    hidden_size: int = 32,
    embedding_size: int | None = None,
    num_attention_heads: int = 4,
    num_hidden_layers: int = 2,
    intermediate_size: int = 48,
    vocab_size: int = 37,
    max_position_embeddings: int | None = None,
    type_vocab_size: int | None = None,
    hidden_act: str = "gelu",
    layer_norm_eps: float | None = None,
    decoder: Literal["tied", "copied", "own"] = "tied",
    labels: Sequence[str] = ("no", "yes"),
    layout: Literal["new", "old"] = "new",
    prefixed: bool | None = None,
    position_buffer: bool | None = None,
    extra_pooler: bool = False,
    dtype: Dtype = "F32",
    config_generation: Literal["torch_dtype", "dtype"] = "dtype",
    shards: int = 1,
    extra_config: Mapping[str, Any] | None = None,
) -> Path:
    """Write config.json and safetensors of a random encoder to `directory`; return `directory`.

    None stands for what the family has; `embedding_size` is ELECTRA's.  `decoder`: the masked
    head reads the word embeddings, or they are in the file twice, or it has weights of its own.
    No `labels`: two, and the config names none.  `layout="old"` has the norms' gamma and beta and,
    unless `position_buffer` says otherwise, positions as a tensor.  `prefixed=True` gives a
    headless checkpoint the names it has below a head.  `extra_config` adds or replaces keys.
    """
    class_name, prefix = _CLASSES[family]
    is_roberta = family in ROBERTAS
    E = (embedding_size or 24) if family == "electra" else hidden_size
    pad_token_id = (extra_config or {}).get("pad_token_id", int(is_roberta))
    positions = max_position_embeddings or LONGEST + (pad_token_id + 1 if is_roberta else 0)
    types = type_vocab_size or (1 if is_roberta else 2)
    eps = 1e-5 if is_roberta else 1e-12
    config: dict[str, Any] = {
        "architectures": [class_name + _SUFFIXES[head]],
        "attention_probs_dropout_prob": 0.1,
        "embedding_size": E,
        "hidden_act": hidden_act,
        "hidden_dropout_prob": 0.1,
        "hidden_size": hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": intermediate_size,
        "layer_norm_eps": eps if layer_norm_eps is None else layer_norm_eps,
        "max_position_embeddings": positions,
        "model_type": family,
        "num_attention_heads": num_attention_heads,
        "num_hidden_layers": num_hidden_layers,
        "pad_token_id": pad_token_id,
        "tie_word_embeddings": decoder != "own",
        "type_vocab_size": types,
        "vocab_size": vocab_size,
        config_generation: {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[dtype],
    }
    if head == "classification" and labels:
        config["id2label"] = {str(i): label for i, label in enumerate(labels)}
        config["label2id"] = {label: i for i, label in enumerate(labels)}
    config = _of_family(config, old=config_generation == "torch_dtype") | dict(extra_config or {})

    sizes = {"one": 1, "two": 2, "D": hidden_size, "E": E, "F": intermediate_size}
    sizes |= {"V": vocab_size, "P": positions, "types": types, "labels": len(labels) or 2}
    add = _Tensors(Draw(seed), sizes)
    has_prefix = not head.startswith("none") if prefixed is None else prefixed
    base = f"{prefix}." if has_prefix else ""
    pooled = extra_pooler or head in _POOLED.get(family, ())
    _body(add, family, base, num_hidden_layers, pooled)
    add.all("", _HEADS[family].get(head, ()))
    if head == "mlm" or (family, head) == ("bert", "pretraining"):
        _decoder(add, family, decoder, f"{base}embeddings.word_embeddings.weight")
    if layout == "old" if position_buffer is None else position_buffer:
        add.tensors[f"{base}embeddings.position_ids"] = np.arange(positions)[None]  # [1, P]
    tensors = {_old_name(name) if layout == "old" else name: t for name, t in add.tensors.items()}

    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (directory / "config.json").write_text(text, encoding="utf-8")
    if shards == 1:
        write_safetensors(directory / "model.safetensors", tensors, dtype)
    else:
        write_shards(directory, tensors, dtype, shards)
    return directory


def _of_family(config: dict[str, Any], old: bool) -> dict[str, Any]:
    """BERT's keys → the family's; `old`: as transformers 4 wrote them."""
    family = config["model_type"]
    config["transformers_version"] = "4.30.0" if old else "5.0.0"
    if old and config["tie_word_embeddings"]:
        del config["tie_word_embeddings"]  # said only where it is not so
    if family == "distilbert":
        for key in ("embedding_size", "layer_norm_eps", "type_vocab_size"):
            del config[key]
        more = {"qa_dropout": 0.1, "seq_classif_dropout": 0.2, "sinusoidal_pos_embds": False}
        more |= {"tie_weights_": True} if old else {}
        return {_DISTILBERT_KEYS.get(key, key): value for key, value in config.items()} | more
    config |= {"classifier_dropout": None, "use_cache": True}
    config |= {"position_embedding_type": "absolute"} if old else {"is_decoder": False}
    if family == "electra":
        return config | {"summary_activation": "gelu", "summary_type": "first"}
    del config["embedding_size"]
    return config | ({"bos_token_id": 0, "eos_token_id": 2} if family in ROBERTAS else {})


class _Tensors:
    """Tensors by checkpoint name, in the order in which they are drawn."""

    def __init__(self, draw: Draw, sizes: Mapping[str, int]) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._draw, self.sizes = draw, sizes

    def all(self, base: str, rows: Sequence[Sequence[str]]) -> None:
        """Rows of the tables above, each below `base`."""
        for kind, name, *sizes in rows:
            getattr(self, kind)(base + name, *(self.sizes[size] for size in sizes))

    def table(self, name: str, rows: int, columns: int) -> None:
        self.tensors[f"{name}.weight"] = self._draw.matrix(rows, columns, fan_in=columns)

    def linear(self, name: str, n_in: int, n_out: int) -> None:
        self.table(name, n_out, n_in)
        self.bias(f"{name}.bias", n_out)

    def norm(self, name: str, n: int) -> None:
        self.tensors[f"{name}.weight"] = self._draw.vector(n, 1.0, 0.2)
        self.bias(f"{name}.bias", n)

    def bias(self, name: str, n: int) -> None:
        self.tensors[name] = self._draw.vector(n, 0.0, 0.1)


def _body(add: _Tensors, family: Family, base: str, n_layers: int, pooled: bool) -> None:
    is_distilbert = family == "distilbert"
    tables = [row for row in _BERT_TABLES if not (is_distilbert and "token_type" in row[1])]
    add.all(base, tables)
    if add.sizes["E"] != add.sizes["D"]:
        add.all(base, [("linear", "embeddings_project", "E", "D")])
    layers = f"{base}transformer.layer" if is_distilbert else f"{base}encoder.layer"
    for i in range(n_layers):
        add.all(f"{layers}.{i}.", _DISTILBERT_LAYER if is_distilbert else _BERT_LAYER)
    if pooled:
        add.all(base, [("linear", "pooler.dense", "D", "D")])


def _decoder(add: _Tensors, family: Family, decoder: str, word_embeddings: str) -> None:
    weight, bias = _DECODERS[family]
    if decoder == "copied":
        add.tensors[weight] = add.tensors[word_embeddings]
    if decoder == "own":
        add.all("", [("table", weight.removesuffix(".weight"), "V", "E")])
        add.all("", [("bias", bias, "V")] if bias else [])


def _old_name(name: str) -> str:
    """As the converters from TensorFlow left them."""
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name.replace("LayerNorm.bias", "LayerNorm.beta")
