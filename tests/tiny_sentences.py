"""Tiny tokenizers, and sentence-transformers directories around tiny encoders."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tiny import Draw, Tensor, write_safetensors
from tiny_encoders import ROBERTAS, Family, Head, write_encoder

_LETTERS = string.ascii_lowercase + "äéñøßбжяαωשא中国語日본हि"
_WORDS = "the of and in was king queen house forest wolf un re old three golden ball hel water"
_ENDINGS = "ed ing er ly able ness lo"
WORDPIECES = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *string.digits,
    *string.punctuation,
    *("“", "”", "—", "…", "€"),
    *_LETTERS,
    *string.ascii_uppercase,
    *_WORDS.split(),
    *(f"##{piece}" for piece in (*_LETTERS, *string.digits, *_ENDINGS.split())),
)
_MERGES = "Ġ t|h e|Ġt he|i n|in g|e r|Ġ a|n d|Ġa nd|a nd|Ġ w|o l|r e|Ġ ,|c a|t er"

BERT_TOKENS = {
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
}
ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "mask_token": "<mask>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
}

# Module names of sentence-transformers up to 5.3, and since.
_MODULES = {
    "old": {
        "Transformer": "sentence_transformers.models.Transformer",
        "Pooling": "sentence_transformers.models.Pooling",
        "Dense": "sentence_transformers.models.Dense",
        "Normalize": "sentence_transformers.models.Normalize",
    },
    "new": {
        "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
        "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
        "Dense": "sentence_transformers.base.modules.dense.Dense",
        "Normalize": "sentence_transformers.sentence_transformer.modules.normalize.Normalize",
    },
}
_ACTIVATIONS = {
    "Tanh": "torch.nn.modules.activation.Tanh",
    "Identity": "torch.nn.modules.linear.Identity",
}
_ALL_MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")

# Named variants for `write_sentence_model`.
SENTENCE_MODELS: dict[str, dict[str, Any]] = {
    "mean": {},
    "cls": {"modes": ["cls_token"]},
    "max": {"modes": ["max_tokens"], "normalize": False},
    "mean_sqrt_len": {"modes": ["mean_sqrt_len_tokens"], "normalize": False},
    "two_modes": {"modes": ["max_tokens", "cls_token"], "normalize": False},
    "all_modes": {"modes": _ALL_MODES, "dense": "Tanh", "normalize": False},
    "dense": {"dense": "Tanh", "modules": "new"},
    "dense_identity": {"dense": "Identity", "dense_bias": False, "normalize": False},
    "lower_case": {"lowercase": False, "do_lower_case": True},
    "cased": {"lowercase": False, "max_seq_length": 24},
    "distilbert": {"family": "distilbert", "max_seq_length": 9},
    "roberta": {"family": "roberta", "modules": "new"},
    "xlm_roberta": {"family": "xlm-roberta", "modes": ["cls_token"], "max_seq_length": 12},
    "electra": {"family": "electra", "modes": ["cls_token", "mean_tokens"]},
}


# Named variants for `write_task_model`: masks to fill, and texts to classify.
FILLING_MODELS: dict[str, dict[str, Any]] = {
    "fill_bert": {"family": "bert", "head": "mlm"},
    "fill_distilbert": {"family": "distilbert", "head": "mlm"},
    "fill_roberta": {"family": "roberta", "head": "mlm"},
    "fill_electra": {"family": "electra", "head": "mlm"},
}
CLASSIFYING_MODELS: dict[str, dict[str, Any]] = {
    "three_labels": {"family": "bert", "labels": ["contradiction", "entailment", "neutral"]},
    "one_label": {"family": "xlm-roberta", "labels": ["relevant"]},
    "unnamed_labels": {"family": "distilbert", "labels": []},
    "multi_label": {
        "family": "roberta",
        "labels": ["anger", "fear", "joy", "surprise"],
        "extra_config": {"problem_type": "multi_label_classification"},
    },
    "regression": {
        "family": "electra",
        "labels": ["score"],
        "extra_config": {"problem_type": "regression"},
    },
}


def write_task_model(
    directory: Path, *, seed: int, family: Family, head: Head = "classification", **options: Any
) -> Path:
    """An encoder with a head, and its tokenizer."""
    vocab_size = write_tokenizer(directory, family)
    return write_encoder(
        directory,
        seed=seed,
        family=family,
        head=head,
        vocab_size=vocab_size,
        max_position_embeddings=64,
        **options,
    )


def write_sentence_model(
    directory: Path,
    *,
    seed: int,
    family: Family = "bert",
    modes: Sequence[str] = ("mean_tokens",),
    dense: Literal["Tanh", "Identity"] | None = None,
    dense_bias: bool = True,
    normalize: bool = True,
    max_seq_length: int = 16,
    do_lower_case: bool = False,
    lowercase: bool = True,
    modules: Literal["old", "new"] = "old",
) -> Path:
    """Write an encoder, its tokenizer and the modules that follow it; return `directory`.

    `lowercase` is of the tokenizer, `do_lower_case` of what comes before it.
    """
    vocab_size = write_tokenizer(directory, family, lowercase)
    head: Any = "none" if family in ("distilbert", "electra") else "none_without_pooler"
    D = 32
    write_encoder(
        directory, seed=seed, family=family, head=head, vocab_size=vocab_size, hidden_size=D
    )
    names = ["Transformer", "Pooling", *(["Dense"] if dense else [])]
    names += ["Normalize"] if normalize else []
    listed = []
    for i, name in enumerate(names):
        path = f"{i}_{name}" if i else ""
        (directory / path).mkdir(exist_ok=True)
        listed.append({"idx": i, "name": str(i), "path": path, "type": _MODULES[modules][name]})
    _write_json(directory / "modules.json", listed)
    limits = {"max_seq_length": max_seq_length, "do_lower_case": do_lower_case}
    _write_json(directory / "sentence_bert_config.json", limits)
    pooling = {f"pooling_mode_{mode}": mode in modes for mode in _ALL_MODES}
    _write_json(directory / "1_Pooling/config.json", {"word_embedding_dimension": D, **pooling})
    if dense:
        n_in, n_out = D * len(modes), 21
        config = {"in_features": n_in, "out_features": n_out, "bias": dense_bias}
        function = {"activation_function": _ACTIVATIONS[dense]}
        _write_json(directory / "2_Dense/config.json", {**config, **function})
        draw = Draw(seed + 1)
        tensors: dict[str, Tensor] = {"linear.weight": draw.matrix(n_out, n_in, fan_in=n_in)}
        if dense_bias:
            tensors["linear.bias"] = draw.vector(n_out, 0.0, 0.1)
        write_safetensors(directory / "2_Dense/model.safetensors", tensors, "F32")
    return directory


def write_tokenizer(directory: Path, family: Family, lowercase: bool = True) -> int:
    """The kind of tokenizer that the family has; returns the size of its vocabulary."""
    if family in ROBERTAS:
        return write_byte_level(directory)
    return write_wordpiece(directory, lowercase, token_types=family != "distilbert")


def write_wordpiece(directory: Path, lowercase: bool = True, token_types: bool = True) -> int:
    """BERT's tokenizer.json and tokenizer_config.json; returns the size of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    vocab = {piece: index for index, piece in enumerate(WORDPIECES)}
    raw = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    raw.decoder = decoders.WordPiece()
    raw.add_special_tokens(sorted(BERT_TOKENS.values()))
    inputs = ["input_ids", *(["token_type_ids"] if token_types else []), "attention_mask"]
    config = {"do_lower_case": lowercase, "model_input_names": inputs, **BERT_TOKENS}
    return _write(directory, raw, config)


def write_byte_level(directory: Path) -> int:
    """RoBERTa's tokenizer.json and tokenizer_config.json; returns the size of the vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    halves = [merge.partition(" ") for merge in _MERGES.split("|")]
    merges = [(left, right) for left, _, right in halves]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, *map("".join, merges), "<mask>"]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    raw = Tokenizer(models.BPE(vocab, merges))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.post_processor = processors.RobertaProcessing(
        ("</s>", vocab["</s>"]), ("<s>", vocab["<s>"]), add_prefix_space=False
    )
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    raw.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    inputs = ["input_ids", "attention_mask"]
    config = {"add_prefix_space": False, "model_input_names": inputs, **ROBERTA_TOKENS}
    return _write(directory, raw, config)


def _write(directory: Path, raw: Any, config: dict[str, Any]) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    raw.save(str(directory / "tokenizer.json"))
    _write_json(directory / "tokenizer_config.json", config)
    return int(raw.get_vocab_size())


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
