"""model_type of config.json → family."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from lapwing.errors import ConfigError
from lapwing.layers.ops import Ops
from lapwing.models.base import LanguageModel
from lapwing.models.bert import BERT, Bert, BertConfig, BertLayout
from lapwing.models.distilbert import DISTILBERT, read_distilbert_config
from lapwing.models.electra import ELECTRA, read_electra_config
from lapwing.models.gemma import Gemma, read_gemma2_config, read_gemma3_config
from lapwing.models.gpt2 import GPT2, GPT2Config
from lapwing.models.llama import Llama, read_llama_config, read_mistral_config
from lapwing.models.phi3 import read_phi3_config
from lapwing.models.qwen import read_qwen2_config, read_qwen3_config
from lapwing.models.roberta import ROBERTA, read_roberta_config
from lapwing.models.sentence import SentenceEncoder, SentenceHead
from lapwing.models.smollm3 import read_smollm3_config
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.scope import Scope
from lapwing.weights.sentence_transformers import read_sentence_modules

log = logging.getLogger("lapwing.models")

ENCODERS: dict[str, tuple[Callable[[Mapping[str, Any], str], BertConfig], BertLayout]] = {
    "bert": (BertConfig.from_dict, BERT),
    "distilbert": (read_distilbert_config, DISTILBERT),
    "electra": (read_electra_config, ELECTRA),
    "roberta": (read_roberta_config, ROBERTA),
    "xlm-roberta": (read_roberta_config, ROBERTA),
    "camembert": (read_roberta_config, ROBERTA),
}
DECODERS: dict[str, tuple[Callable[[Mapping[str, Any], str], Any], Any]] = {
    "gpt2": (GPT2Config.from_dict, GPT2),
    "llama": (read_llama_config, Llama),
    "mistral": (read_mistral_config, Llama),
    "qwen2": (read_qwen2_config, Llama),
    "qwen3": (read_qwen3_config, Llama),
    "smollm3": (read_smollm3_config, Llama),
    "phi3": (read_phi3_config, Llama),
    "gemma2": (read_gemma2_config, Gemma),
    "gemma3_text": (read_gemma3_config, Gemma),
}
FAMILIES = (*DECODERS, *ENCODERS)


def build(checkpoint: Checkpoint, ops: Ops) -> LanguageModel | SentenceEncoder:
    """The model of a checkpoint, every tensor asked for by name and shape, none of them read.

    Raises ConfigError for a family or a configuration that is not supported, WeightsError with all
    missing and misshaped tensors.
    """
    model_type = checkpoint.config.get("model_type")
    if model_type not in FAMILIES:
        raise ConfigError(
            f"{_where(checkpoint)}: 'model_type': expected one of {', '.join(FAMILIES)}; got "
            f"{model_type!r}"
        )
    if model_type in DECODERS:
        return build_decoder(checkpoint, ops)
    return build_encoder(checkpoint, ops)


def build_decoder(checkpoint: Checkpoint, ops: Ops) -> LanguageModel:
    """A causal language model."""
    read_config, family = DECODERS[checkpoint.config["model_type"]]
    scope = Scope.root(checkpoint)
    model: GPT2 | Llama = family(read_config(checkpoint.config, _where(checkpoint)), scope, ops)
    _finish(checkpoint, scope, model.known_extras)
    return model


def build_encoder(checkpoint: Checkpoint, ops: Ops) -> SentenceEncoder:
    """An encoder, with the modules that sentence-transformers puts behind it."""
    read_config, names = ENCODERS[checkpoint.config["model_type"]]
    scope = Scope.root(checkpoint)
    network = Bert(read_config(checkpoint.config, _where(checkpoint)), scope, ops, names)
    _finish(checkpoint, scope, network.known_extras)
    modules = read_sentence_modules(checkpoint.directory)
    sentence = SentenceHead(modules, network.config.hidden_size, checkpoint, ops)
    return SentenceEncoder(network, sentence)


def _where(checkpoint: Checkpoint) -> str:
    return str(checkpoint.directory / "config.json")


def _finish(checkpoint: Checkpoint, scope: Scope, known_extras: tuple[str, ...]) -> None:
    extras = scope.finish(known_extras)
    if extras:
        shown = ", ".join(extras[:10]) + (", …" if len(extras) > 10 else "")
        log.warning("%s: %d tensors are not used: %s", checkpoint.directory, len(extras), shown)
